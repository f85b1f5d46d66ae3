using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Threading;

namespace MagiRt
{
    /// <summary>
    /// Owns one native client. Frames that are out count as users of it: the native client is closed
    /// when Dispose was called and the last frame was given back, whichever comes later.
    /// </summary>
    internal sealed class MagiClientHandle : SafeHandle
    {
        // What is open in this application domain. A native thread that logged into a domain that
        // is gone (as after every play in the Unity editor) would take the whole process down.
        static readonly Dictionary<uint, WeakReference> Open = new Dictionary<uint, WeakReference>();

        // How long the end of the process waits for frames that other threads are reading.
        const int PatienceMs = 500;

        GCHandle log;

        static MagiClientHandle()
        {
            AppDomain.CurrentDomain.DomainUnload += delegate { CloseAll(); };
            AppDomain.CurrentDomain.ProcessExit += delegate { EndAll(); };
        }

        MagiClientHandle()
            : base(IntPtr.Zero, true)
        {
        }

        public override bool IsInvalid
        {
            get { return handle == IntPtr.Zero; }
        }

        /// <summary>The native handle; still readable when closed, and then refused by the library.</summary>
        public NativeId Id
        {
            get
            {
                NativeId id;
                id.Id = unchecked((uint)handle.ToInt64());
                return id;
            }
        }

        public static MagiClientHandle Create(MagiClientOptions options)
        {
            MagiClientHandle made = new MagiClientHandle();
            using (NativeTexts texts = new NativeTexts())
            {
                NativeDesc desc = options.Describe(texts);
                desc.StructSize = (uint)Marshal.SizeOf(typeof(NativeDesc));
                if (options.Log != null)
                {
                    made.log = GCHandle.Alloc(options.Log);
                    desc.Log = MagiLog.Function;
                    desc.LogUser = GCHandle.ToIntPtr(made.log);
                }
                made.Start(ref desc);
            }
            return made;
        }

        protected override bool ReleaseHandle()
        {
            if (MagiLog.InsideLogger)
            {
                // The logger's thread would wait for itself.
                NativeId id = Id;
                GCHandle kept = log;
                ThreadPool.QueueUserWorkItem(delegate { Close(id, kept); });
                return true;
            }
            Close(Id, log);
            return true;
        }

        void Start(ref NativeDesc desc)
        {
            NativeId id;
            MagiStatus status = Native.magi_client_open(ref desc, out id);
            if (status == MagiStatus.Ok)
            {
                SetHandle(new IntPtr(unchecked((int)id.Id)));
                lock (Open)
                    Open.Add(id.Id, new WeakReference(this));
                return;
            }
            if (log.IsAllocated)
                log.Free();
            if (status == MagiStatus.BadSize)
                throw MagiException.OfSize("magi_client_desc", Marshal.SizeOf(typeof(NativeDesc)));
            throw MagiException.Of(status, "open");
        }

        static void Close(NativeId id, GCHandle log)
        {
            bool ours;
            lock (Open)
                ours = Open.Remove(id.Id);
            if (ours)
                Native.magi_client_close(id);
            if (log.IsAllocated)
                log.Free();
        }

        // Other threads still run, and may be reading a frame: it is waited for until it is given back.
        static void EndAll()
        {
            DisposeAll();
            for (int waited = 0; waited < PatienceMs && AnyOpen(); waited += 5)
                Thread.Sleep(5);
            CloseAll();
        }

        static bool AnyOpen()
        {
            lock (Open)
                return Open.Count > 0;
        }

        static void DisposeAll()
        {
            KeyValuePair<uint, WeakReference>[] left;
            lock (Open)
                left = new List<KeyValuePair<uint, WeakReference>>(Open).ToArray();
            foreach (KeyValuePair<uint, WeakReference> one in left)
            {
                MagiClientHandle owner = one.Value.Target as MagiClientHandle;
                if (owner != null)
                    owner.Dispose();
                else
                    Close(new NativeId { Id = one.Key }, default(GCHandle)); // collected: no frame is out
            }
        }

        static void CloseAll()
        {
            uint[] left;
            lock (Open)
            {
                left = new uint[Open.Count];
                Open.Keys.CopyTo(left, 0);
                Open.Clear();
            }
            foreach (uint one in left)
            {
                NativeId id;
                id.Id = one;
                Native.magi_client_close(id);
            }
        }
    }
}
