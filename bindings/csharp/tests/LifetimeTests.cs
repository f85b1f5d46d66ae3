using System;
using System.Collections.Generic;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Threading;

namespace MagiRt.Tests
{
    /// <summary>Threads, loggers, forgotten clients and application domains that go away.</summary>
    public static class LifetimeTests
    {
        // The library refuses a 65th open client: what stayed open would be noticed.
        const int MostOpen = 64;

        /// <summary>What follows is the end of the program, and it must be no crash: another thread still reads.</summary>
        public static int EndWhileAFrameIsRead()
        {
            MagiClient client = Clients.Dummy(o => o.DummyWidth = o.DummyHeight = 2048);
            MagiFrame frame = Clients.Next(client);
            int room = frame.Height * frame.RowBytes;
            IntPtr target = Marshal.AllocHGlobal(room);
            ManualResetEvent reading = new ManualResetEvent(false);
            Thread reader = new Thread(delegate()
            {
                for (int i = 0; i < 20; i++)
                {
                    frame.CopyRows(target, room);
                    reading.Set();
                }
                frame.Dispose();
            });
            reader.IsBackground = true;
            reader.Start();
            reading.WaitOne();
            return 0;
        }

        [Test]
        public static void A_logger_is_kept_alive_through_collections()
        {
            List<string> heard = new List<string>();
            MagiClientOptions options = new MagiClientOptions();
            options.Frames = "tcp://127.0.0.1:9";
            options.Log = delegate(MagiLogLevel level, string text)
            {
                lock (heard)
                    heard.Add(text);
            };
            for (int i = 0; i < 10; i++)
            {
                using (MagiClient client = new MagiClient(options))
                using (MagiClient dummy = Clients.Dummy(o => o.Log = options.Log))
                {
                    GC.Collect();
                    GC.WaitForPendingFinalizers();
                    Clients.Next(dummy).Dispose();
                }
            }
            lock (heard)
                Expect.True(heard.Count > 0 && heard[0].Length > 0, "the logger heard something");
        }

        [Test]
        public static void What_a_logger_throws_is_swallowed()
        {
            int calls = 0;
            using (MagiClient client = Clients.Dummy(o => o.Log = delegate
            {
                Interlocked.Increment(ref calls);
                throw new InvalidOperationException("from the logger");
            }))
            {
                Clients.Next(client).Dispose();
                Expect.Soon(() => Thread.VolatileRead(ref calls) > 0, "the logger was called");
            }
        }

        [Test]
        public static void Forgotten_clients_are_closed_by_the_garbage_collector()
        {
            for (int round = 0; round < 8; round++)
            {
                Forget(MostOpen / 4);
                GC.Collect();
                GC.WaitForPendingFinalizers();
            }
        }

        [Test]
        public static void A_domain_that_goes_away_takes_its_clients_with_it()
        {
            for (int round = 0; round < 6; round++)
            {
                AppDomain domain = AppDomain.CreateDomain("play " + round);
                domain.DoCallBack(OpenAndForget);
                AppDomain.Unload(domain);
            }
            Clients.Next(Clients.Dummy()).Dispose();
        }

        [Test]
        public static void Threads_may_take_frames_while_the_client_is_disposed()
        {
            for (int round = 0; round < 10; round++)
            {
                MagiClient client = Clients.Dummy(o => o.LeasedFrames = 4);
                Exception[] ends = new Exception[3];
                int taken = 0;
                Thread[] threads = new Thread[ends.Length];
                for (int i = 0; i < threads.Length; i++)
                {
                    int mine = i;
                    threads[i] = new Thread(() => ends[mine] = TakeUntilDisposed(client, ref taken));
                    threads[i].Start();
                }
                Expect.Soon(() => Thread.VolatileRead(ref taken) > 3, "some frames");
                client.Dispose();
                foreach (Thread thread in threads)
                    Expect.True(thread.Join(30000), "the thread ended");
                foreach (Exception end in ends)
                    Expect.True(end is ObjectDisposedException, "ended by " + end);
            }
        }

        [Test]
        public static void Threads_may_take_receipts_while_the_client_is_disposed()
        {
            for (int round = 0; round < 20; round++)
            {
                MagiClient client = Clients.Dummy();
                Exception[] ends = new Exception[2];
                int taken = 0;
                Thread[] threads = new Thread[ends.Length];
                for (int i = 0; i < threads.Length; i++)
                {
                    int mine = i;
                    threads[i] = new Thread(() => ends[mine] = AskUntilDisposed(client, ref taken));
                    threads[i].Start();
                }
                Expect.Soon(() => Thread.VolatileRead(ref taken) > 20, "some receipts");
                client.Dispose();
                foreach (Thread thread in threads)
                    Expect.True(thread.Join(30000), "the thread ended");
                foreach (Exception end in ends)
                    Expect.True(end is ObjectDisposedException, "ended by " + end);
            }
        }

        [Test]
        public static void A_logger_may_dispose_its_own_client_without_waiting_for_itself()
        {
            MagiClient client = null;
            ManualResetEvent opened = new ManualResetEvent(false);
            ManualResetEvent disposed = new ManualResetEvent(false);
            MagiClientOptions options = new MagiClientOptions();
            options.Dummy = true;
            options.DummyFps = 240;
            int mainThread = Thread.CurrentThread.ManagedThreadId;
            options.Log = delegate
            {
                if (Thread.CurrentThread.ManagedThreadId == mainThread)
                    return;
                opened.WaitOne(30000);
                client.Dispose();
                disposed.Set();
            };
            client = new MagiClient(options);
            opened.Set();
            Expect.True(disposed.WaitOne(30000), "disposed from the logger");
            Expect.True(client.IsDisposed, "closed");
        }

        static Exception TakeUntilDisposed(MagiClient client, ref int taken)
        {
            try
            {
                while (true)
                {
                    MagiFrame frame;
                    if (!client.TryAcquire(out frame))
                    {
                        Thread.Sleep(1);
                        continue;
                    }
                    using (frame)
                    {
                        Clients.Bytes(frame);
                        Interlocked.Increment(ref taken);
                    }
                }
            }
            catch (Exception end)
            {
                return end;
            }
        }

        /// <summary>Statistics, whose details a receipt lends; each text read must be whole.</summary>
        static Exception AskUntilDisposed(MagiClient client, ref int taken)
        {
            try
            {
                bool ask = true;
                while (true)
                {
                    if (ask)
                        client.RequestStats();
                    MagiReceipt receipt;
                    ask = client.TryReceipt(out receipt);
                    if (!ask)
                        continue;
                    Expect.True(receipt.Details.EndsWith("}"), "whole: " + receipt.Details);
                    Interlocked.Increment(ref taken);
                }
            }
            catch (Exception end)
            {
                return end;
            }
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        static void Forget(int clients)
        {
            for (int i = 0; i < clients; i++)
                Clients.Dummy();
        }

        static void OpenAndForget()
        {
            List<MagiClient> held = new List<MagiClient>();
            for (int i = 0; i < MostOpen / 4; i++)
                held.Add(Clients.Dummy(o => o.Log = delegate { }));
            Clients.Next(held[0]).Dispose();
            AppDomain.CurrentDomain.SetData("held", held);
        }
    }
}
