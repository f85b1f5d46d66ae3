using System.Runtime.InteropServices;

namespace MagiRt
{
    /// <summary>What is known about the connection and the world. Makes strings: not for every frame.</summary>
    public sealed class MagiInfo
    {
        public MagiState State { get; private set; }

        /// <summary>Parts or Shared: what is used now.</summary>
        public MagiLayout Layout { get; private set; }

        public bool Paused { get; private set; }

        /// <summary>The world's picture in pixels; 0 until the server said it.</summary>
        public int Width { get; private set; }

        public int Height { get; private set; }

        /// <summary>A prompt takes effect at a chunk's border.</summary>
        public int FramesPerChunk { get; private set; }

        /// <summary>Chunks that come out before a new prompt shows.</summary>
        public int DelayChunks { get; private set; }

        /// <summary>Longest prompt that the model takes, in characters.</summary>
        public int PromptCharacters { get; private set; }

        /// <summary>The control connection has been answered.</summary>
        public bool ControlAnswered { get; private set; }

        public ulong Epoch { get; private set; }

        /// <summary>Nanoseconds since the server was last heard; 0 before the first time.</summary>
        public ulong SilentNs { get; private set; }

        /// <summary>Frames per second asked of the world, 0 until known.</summary>
        public double Fps { get; private set; }

        public string Stream { get; private set; }

        public string Client { get; private set; }

        public string Frames { get; private set; }

        public string Control { get; private set; }

        public string Server { get; private set; }

        public string Model { get; private set; }

        /// <summary>The last warning or error as a sentence; empty: none yet.</summary>
        public string Trouble { get; private set; }

        internal static unsafe MagiInfo Of(ref NativeInfo native)
        {
            MagiInfo info = new MagiInfo();
            info.State = native.State;
            info.Layout = native.Layout;
            info.Paused = native.Paused != 0;
            info.Width = (int)native.Width;
            info.Height = (int)native.Height;
            info.FramesPerChunk = (int)native.FramesPerChunk;
            info.DelayChunks = (int)native.DelayChunks;
            info.PromptCharacters = (int)native.PromptCharacters;
            info.ControlAnswered = native.ControlAnswered != 0;
            info.Epoch = native.Epoch;
            info.SilentNs = native.SilentNs;
            info.Fps = native.Fps;
            fixed (NativeInfo* from = &native)
            {
                info.Stream = Utf8.Read(from->Stream, 24);
                info.Client = Utf8.Read(from->Client, 40);
                info.Frames = Utf8.Read(from->Frames, 256);
                info.Control = Utf8.Read(from->ControlAddress, 256);
                info.Server = Utf8.Read(from->Server, 72);
                info.Model = Utf8.Read(from->Model, 72);
                info.Trouble = Utf8.Read(from->Trouble, 256);
            }
            return info;
        }
    }

    /// <summary>Counted since the client was opened; the same struct as the C library's.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct MagiCounters
    {
        internal uint StructSize;
        uint reserved;

        /// <summary>Frame messages that arrived, also those dropped.</summary>
        public ulong FramesReceived;

        /// <summary>Handed to you.</summary>
        public ulong FramesAcquired;

        public ulong BytesReceived;

        /// <summary>A newer one came before you took it, or the queue was full.</summary>
        public ulong DroppedReplaced;

        public ulong DroppedEpoch;
        public ulong DroppedStream;
        public ulong DroppedSeq;

        /// <summary>Had queued for longer than two frame times.</summary>
        public ulong DroppedStale;

        /// <summary>Shared memory: written over before it was read.</summary>
        public ulong DroppedOverwritten;

        public ulong Malformed;
        public ulong Events;
        public ulong RequestsSent;
        public ulong Receipts;
        public ulong ReceiptsDropped;
        public ulong Reconnects;
        public ulong Streams;
    }
}
