using System;
using System.Runtime.InteropServices;

namespace MagiRt
{
    /// <summary>
    /// Watches and steers a magi_rt world. Nothing here waits for the network; the native library's
    /// own thread does. All members may be called from any thread.
    /// </summary>
    public sealed partial class MagiClient : IDisposable
    {
        static readonly uint FrameSize = (uint)Marshal.SizeOf(typeof(NativeFrame));
        static readonly uint InfoSize = (uint)Marshal.SizeOf(typeof(NativeInfo));
        static readonly uint CountersSize = (uint)Marshal.SizeOf(typeof(MagiCounters));
        static readonly uint ReceiptSize = (uint)Marshal.SizeOf(typeof(NativeReceipt));
        static readonly uint RequestSize = (uint)Marshal.SizeOf(typeof(NativeRequest));

        readonly MagiClientHandle handle;

        // A receipt's texts live until the next one is polled.
        readonly object polling = new object();

        /// <summary>Opens a client for the default address and returns at once.</summary>
        /// <exception cref="MagiException">See the other constructor.</exception>
        public MagiClient()
            : this(new MagiClientOptions())
        {
        }

        /// <summary>
        /// Opens a client and returns at once: the server need not be there yet, and the client looks
        /// for it until disposed.
        /// </summary>
        /// <exception cref="MagiException">
        /// The native library is missing or of another version, or an option is refused.
        /// </exception>
        public MagiClient(MagiClientOptions options)
        {
            if (options == null)
                throw new ArgumentNullException("options");
            Native.Check();
            handle = MagiClientHandle.Create(options);
            try
            {
                CheckSizes();
            }
            catch (Exception)
            {
                handle.Dispose();
                throw;
            }
        }

        /// <summary>Version of the native library that is loaded, such as "0.1.0".</summary>
        public static string LibraryVersion
        {
            get
            {
                Native.Check();
                return Utf8.Read(Native.magi_version());
            }
        }

        /// <summary>The steady clock of this machine, in nanoseconds.</summary>
        public static ulong NowNs
        {
            get { return Native.magi_now_ns(); }
        }

        public bool IsDisposed
        {
            get { return handle.IsClosed; }
        }

        /// <summary>What the connection is like now; makes no garbage.</summary>
        public MagiState State
        {
            get
            {
                NativeInfo info;
                ReadInfo(out info);
                return info.State;
            }
        }

        /// <summary>
        /// What the connection is like now, and the last warning or error as a sentence (empty: none
        /// yet). `trouble` is replaced only when another one came, so this makes no garbage.
        /// </summary>
        public unsafe MagiState GetState(ref string trouble)
        {
            NativeInfo info;
            ReadInfo(out info);
            if (!Utf8.Same(info.Trouble, 256, trouble))
                trouble = Utf8.Read(info.Trouble, 256);
            return info.State;
        }

        /// <summary>All that is known about the connection and the world.</summary>
        public MagiInfo GetInfo()
        {
            NativeInfo info;
            ReadInfo(out info);
            return MagiInfo.Of(ref info);
        }

        public MagiCounters GetCounters()
        {
            MagiCounters counters = new MagiCounters();
            counters.StructSize = CountersSize;
            MagiStatus status = Native.magi_client_get_counters(handle.Id, ref counters);
            Refuse(status, "magi_counters", CountersSize, "counters");
            return counters;
        }

        /// <summary>
        /// Borrows the newest frame that you have not had (with MagiKeep.Every the oldest such). False
        /// is ordinary: draw what you have. Give a frame back with Dispose, best by `using (frame)`.
        /// Makes no garbage.
        /// </summary>
        /// <exception cref="ObjectDisposedException">The client was disposed.</exception>
        /// <exception cref="MagiException">
        /// Busy: as many frames are out as LeasedFrames allows; dispose one first.
        /// </exception>
        public bool TryAcquire(out MagiFrame frame)
        {
            frame = new MagiFrame();
            frame.Native.StructSize = FrameSize;
            bool counted = false;
            MagiStatus status = MagiStatus.BadHandle;
            try
            {
                handle.DangerousAddRef(ref counted);
                status = Native.magi_client_acquire_frame(handle.Id, ref frame.Native);
            }
            finally
            {
                if (counted && status != MagiStatus.Ok)
                    handle.DangerousRelease();
            }
            if (status == MagiStatus.Ok)
            {
                frame.Lender = handle;
                return true;
            }
            frame = new MagiFrame();
            if (status != MagiStatus.NoFrame && status != MagiStatus.Lost)
                Refuse(status, "magi_frame", FrameSize, "acquire a frame");
            return false;
        }

        /// <summary>Takes the oldest receipt. False: none waits, and no garbage was made.</summary>
        public bool TryReceipt(out MagiReceipt receipt)
        {
            NativeReceipt native = new NativeReceipt();
            native.StructSize = ReceiptSize;
            receipt = new MagiReceipt();
            MagiStatus status = MagiStatus.BadHandle;
            bool counted = false;
            try
            {
                // The native client must not end before the texts that it lends are read.
                handle.DangerousAddRef(ref counted);
                lock (polling)
                {
                    status = Native.magi_client_poll_receipt(handle.Id, ref native);
                    if (status == MagiStatus.Ok)
                        receipt = MagiReceipt.Of(ref native);
                }
            }
            finally
            {
                if (counted)
                    handle.DangerousRelease();
            }
            if (status != MagiStatus.NoReceipt)
                Refuse(status, "magi_receipt", ReceiptSize, "poll a receipt");
            return status == MagiStatus.Ok;
        }

        /// <summary>
        /// Ends the client; some milliseconds, or seconds while libzmq still looks up a host name.
        /// Requests not yet sent are forgotten. Frames that are still out stay readable until they are
        /// disposed; the native client ends with the last.
        /// </summary>
        public void Dispose()
        {
            handle.Dispose();
        }

        void CheckSizes()
        {
            NativeInfo info;
            ReadInfo(out info);
            GetCounters();
        }

        void ReadInfo(out NativeInfo info)
        {
            info = new NativeInfo();
            info.StructSize = InfoSize;
            Refuse(Native.magi_client_get_info(handle.Id, ref info), "magi_client_info", InfoSize, "info");
        }

        static void Refuse(MagiStatus status, string structName, uint size, string call)
        {
            if (status == MagiStatus.BadSize)
                throw MagiException.OfSize(structName, (int)size);
            if (status < MagiStatus.Ok)
                throw MagiException.Of(status, call);
        }
    }
}
