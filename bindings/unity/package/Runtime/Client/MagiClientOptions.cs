using System;

namespace MagiRt
{
    /// <summary>What to open. Everything may be left as it is: zero and null mean the default.</summary>
    public sealed class MagiClientOptions
    {
        /// <summary>Address of the frames; default "tcp://127.0.0.1:5590".</summary>
        public string Frames;

        /// <summary>Address of the control socket; default the next port, or "none": frames only.</summary>
        public string Control;

        /// <summary>Shown in the server's log, at most 64 bytes; default "csharp".</summary>
        public string Name = "csharp";

        public MagiFormat Format;
        public MagiRows Rows;
        public MagiLayout Layout;
        public MagiKeep Keep;

        /// <summary>With MagiKeep.Every: 1 .. 256 frames, default 16; the oldest goes.</summary>
        public int QueueFrames;

        /// <summary>Frames that may be out at one time: 1 .. 8, default 1.</summary>
        public int LeasedFrames;

        /// <summary>Silence that counts as lost: 100 .. 600,000 ms, default 1,500.</summary>
        public int LostAfterMs;

        /// <summary>Requests without an answer end then: 100 .. 600,000 ms, default 10,000.</summary>
        public int RequestTimeoutMs;

        /// <summary>No network: a moving picture made by the library, for work without a server.</summary>
        public bool Dummy;

        /// <summary>16 .. 16,384 pixels, default 640.</summary>
        public int DummyWidth;

        /// <summary>16 .. 16,384 pixels, default 360.</summary>
        public int DummyHeight;

        /// <summary>1 .. 240 frames per second, default 24.</summary>
        public double DummyFps;

        /// <summary>CURVE keys, 40 characters of Z85 each, made by `magi-rt keys`: all three or none.</summary>
        public string CurvePublic;
        public string CurveSecret;
        public string CurveServer;

        /// <summary>
        /// Hears what the library has to say, on the library's own thread (or on yours, inside the
        /// constructor): be short and touch no engine object. What it throws is swallowed.
        /// </summary>
        public Action<MagiLogLevel, string> Log;

        internal NativeDesc Describe(NativeTexts texts)
        {
            NativeDesc desc = new NativeDesc();
            desc.Format = Format;
            desc.Rows = Rows;
            desc.Layout = Layout;
            desc.Keep = Keep;
            desc.QueueFrames = Positive(QueueFrames, "QueueFrames");
            desc.LeasedFrames = Positive(LeasedFrames, "LeasedFrames");
            desc.LostAfterMs = Positive(LostAfterMs, "LostAfterMs");
            desc.RequestTimeoutMs = Positive(RequestTimeoutMs, "RequestTimeoutMs");
            desc.Dummy = Dummy ? 1u : 0u;
            desc.DummyWidth = Positive(DummyWidth, "DummyWidth");
            desc.DummyHeight = Positive(DummyHeight, "DummyHeight");
            desc.DummyFps = DummyFps;
            desc.Frames = texts.TextOrDefault(Frames, "Frames");
            desc.Control = texts.TextOrDefault(Control, "Control");
            desc.Name = texts.TextOrDefault(Name, "Name");
            desc.CurvePublic = texts.TextOrDefault(CurvePublic, "CurvePublic");
            desc.CurveSecret = texts.TextOrDefault(CurveSecret, "CurveSecret");
            desc.CurveServer = texts.TextOrDefault(CurveServer, "CurveServer");
            return desc;
        }

        static uint Positive(int value, string field)
        {
            if (value < 0)
                throw new ArgumentOutOfRangeException(field, value, "must not be negative; 0 means the default");
            return (uint)value;
        }
    }
}
