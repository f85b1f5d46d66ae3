using System;
using System.Collections.Generic;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Threading;

namespace MagiRt.Tests
{
    /// <summary>The client on the library's dummy mode: no network.</summary>
    public static class DummyTests
    {
        [Test]
        public static void Frames_come_with_the_size_format_and_rows_that_were_asked_for()
        {
            using (MagiClient client = Clients.Dummy(o => { o.Format = MagiFormat.Bgra8; o.Rows = MagiRows.Bottom; }))
            using (MagiFrame frame = Clients.Next(client))
            {
                Expect.Equal(32, frame.Width, "width");
                Expect.Equal(16, frame.Height, "height");
                Expect.Equal(MagiFormat.Bgra8, frame.Format, "format");
                Expect.Equal(MagiRows.Bottom, frame.Rows, "rows");
                Expect.True(frame.Stride >= frame.RowBytes && frame.RowBytes == 32 * 4, "stride " + frame.Stride);
                Expect.Equal(frame.Stride * frame.Height, frame.Size, "size");
                Expect.Equal(255, (int)Clients.Bytes(frame)[3], "alpha");
                Expect.Equal(16, frame.Stream.Length, "stream");
            }
        }

        [Test]
        public static void Later_frames_have_greater_numbers()
        {
            using (MagiClient client = Clients.Dummy())
            {
                ulong last = 0;
                for (int i = 0; i < 20; i++)
                {
                    using (MagiFrame frame = Clients.Next(client))
                    {
                        Expect.True(frame.Seq > last, frame.Seq + " after " + last);
                        last = frame.Seq;
                    }
                }
            }
        }

        [Test]
        public static void Taking_and_giving_back_frames_makes_no_garbage()
        {
            MethodInfo method = typeof(GC).GetMethod(
                "GetAllocatedBytesForCurrentThread", BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic);
            Func<long> allocated = (Func<long>)Delegate.CreateDelegate(typeof(Func<long>), method);
            using (MagiClient client = Clients.Dummy())
            {
                TakeFrames(client, 20);
                int collections = GC.CollectionCount(0);
                long before = allocated();
                int misses = TakeFrames(client, 200);
                long bytes = allocated() - before;
                Expect.True(misses > 0, "there were calls without a frame as well");
                Expect.Equal(0L, bytes, "bytes allocated by 200 frames and " + misses + " calls without one");
                Expect.Equal(collections, GC.CollectionCount(0), "collections");
            }
        }

        [Test]
        public static void A_frame_stays_readable_after_its_client_was_disposed()
        {
            MagiClient client = Clients.Dummy();
            MagiFrame frame = Clients.Next(client);
            byte[] before = Clients.Bytes(frame);
            client.Dispose();
            Expect.Equal(before, Clients.Bytes(frame), "pixels");
            frame.Dispose();
            Expect.Equal(IntPtr.Zero, frame.Pixels, "pixels after Dispose");
            Expect.Throws<ObjectDisposedException>(() => client.SendPrompt("late"));
        }

        [Test]
        public static void A_frame_and_its_copies_can_be_given_back_twice()
        {
            using (MagiClient client = Clients.Dummy())
            {
                MagiFrame frame = Clients.Next(client);
                MagiFrame copy = frame;
                frame.Dispose();
                frame.Dispose();
                copy.Dispose();
                Clients.Next(client).Dispose();
            }
        }

        [Test]
        public static void Holding_more_frames_than_agreed_is_an_error_that_says_so()
        {
            using (MagiClient client = Clients.Dummy())
            {
                MagiFrame frame = Clients.Next(client);
                MagiFrame second;
                MagiException problem = Expect.Throws<MagiException>(() => client.TryAcquire(out second));
                Expect.Equal(MagiStatus.Busy, problem.Status, "status");
                frame.Dispose();
                Clients.Next(client).Dispose();
            }
        }

        [Test]
        public static void A_closed_client_refuses_everything_and_closing_twice_does_no_harm()
        {
            MagiClient client = Clients.Dummy();
            client.Dispose();
            client.Dispose();
            MagiFrame frame;
            MagiReceipt receipt;
            Expect.True(client.IsDisposed, "disposed");
            Expect.Throws<ObjectDisposedException>(() => client.TryAcquire(out frame));
            Expect.Throws<ObjectDisposedException>(() => client.TryReceipt(out receipt));
            Expect.Throws<ObjectDisposedException>(() => client.Reset());
            Expect.Throws<ObjectDisposedException>(() => client.GetInfo());
        }

        [Test]
        public static void Rows_are_copied_without_their_padding()
        {
            using (MagiClient client = Clients.Dummy(o => { o.Format = MagiFormat.Rgb8; o.DummyWidth = 17; }))
            using (MagiFrame frame = Clients.Next(client))
            {
                int bytes = frame.RowBytes * frame.Height;
                IntPtr room = Marshal.AllocHGlobal(bytes);
                try
                {
                    frame.CopyRows(room, bytes);
                    byte[] packed = new byte[bytes];
                    Marshal.Copy(room, packed, 0, bytes);
                    byte[] raw = Clients.Bytes(frame);
                    for (int row = 0; row < frame.Height; row++)
                        Expect.Equal(raw[row * frame.Stride + 50], packed[row * frame.RowBytes + 50], "row " + row);
                    Expect.Throws<ArgumentException>(() => frame.CopyRows(room, bytes - 1), bytes.ToString());
                }
                finally
                {
                    Marshal.FreeHGlobal(room);
                }
            }
        }

        [Test]
        public static void A_prompt_is_accepted_applied_and_named_by_frames()
        {
            using (MagiClient client = Clients.Dummy())
            {
                ulong id = client.SendPrompt("Regen f\u00e4llt \u2014 \u96e8", MagiAt.Next, true);
                ulong prompt = Clients.Receipt(client, id, MagiReceiptKind.Accepted).Prompt;
                MagiReceipt applied = Clients.Receipt(client, id, MagiReceiptKind.Applied);
                Expect.True(prompt > 0, "the prompt has an id");
                Expect.Equal(prompt, applied.Prompt, "prompt of the applied receipt");
                using (MagiFrame frame = Clients.Next(client, f => f.Seq >= applied.Seq, "a frame after it"))
                    Expect.Equal(prompt, frame.Prompt, "prompt of the frame");
            }
        }

        [Test]
        public static void Every_other_request_is_answered_as_well()
        {
            using (MagiClient client = Clients.Dummy())
            {
                ulong[] ids =
                {
                    client.Reset(), client.Reset(5), client.Rewind(1), client.Snapshot("a-1"), client.Fork("b_2"),
                    client.Restore("b_2"), client.Pause(), client.Resume(), client.Set(60, MagiFormat.Jpeg, 80),
                    client.RequestStats(), client.SeedImage(new byte[] { 0x89, 0x50, 0x4E, 0x47 }, 3),
                    client.RewindTo(0), client.Reset(null, "night falls"), client.SeedImage(new byte[] { 0x89 }, null, "")
                };
                HashSet<ulong> open = new HashSet<ulong>(ids);
                Expect.Equal(ids.Length, open.Count, "different ids");
                Expect.Soon(
                    delegate
                    {
                        MagiReceipt receipt;
                        while (client.TryReceipt(out receipt))
                            open.Remove(receipt.Request);
                        return open.Count == 0;
                    },
                    "answers to all");
            }
        }

        [Test]
        public static void The_world_begins_under_a_prompt_and_goes_back_to_a_chunk_by_its_number()
        {
            using (MagiClient client = Clients.Dummy())
            {
                MagiReceipt begun = Clients.Receipt(client, client.Reset(5, "night falls"), MagiReceiptKind.Applied);
                using (MagiFrame frame = Clients.Next(client, f => f.Seq >= begun.Seq, "a frame after it"))
                    Expect.True(frame.Prompt > 0, "the first prompt shapes it");
                Clients.Next(client, f => f.Chunk >= 3, "some chunks").Dispose();
                MagiReceipt back = Clients.Receipt(client, client.RewindTo(1), MagiReceiptKind.Applied);
                Expect.Equal(1UL, back.Chunk, "chunk");
                MagiReceipt refused = Clients.Receipt(client, client.RewindTo(1000000), MagiReceiptKind.Error);
                Expect.Equal(MagiCode.Refused, refused.Code, "code");
            }
        }

        [Test]
        public static void What_cannot_be_sent_is_refused_at_once_with_the_reason()
        {
            using (MagiClient client = Clients.Dummy())
            {
                MagiException problem = Expect.Throws<MagiException>(() => client.SendPrompt(new string('a', 4001)));
                Expect.Equal(MagiStatus.TooLong, problem.Status, "status");
                Expect.Throws<ArgumentException>(() => client.SendPrompt("cut\0off"), "zero character");
                Expect.Throws<ArgumentNullException>(() => client.SendPrompt(null));
                Expect.Throws<ArgumentOutOfRangeException>(() => client.Reset(1UL << 63), "2^63");
                Expect.Throws<ArgumentOutOfRangeException>(() => client.Rewind(0));
                Expect.Throws<ArgumentOutOfRangeException>(() => client.RewindTo((1UL << 53) + 1), "2^53");
                Expect.Throws<MagiException>(() => client.Reset(null, new string('a', 4001)));
                Expect.Throws<ArgumentException>(() => client.SeedImage(new byte[] { 1 }, null, "cut\0off"), "zero character");
                Expect.Throws<MagiException>(() => client.Snapshot("../elsewhere"));
            }
        }

        [Test]
        public static void Options_out_of_range_are_refused_and_nothing_stays_open()
        {
            for (int i = 0; i < 100; i++)
            {
                Expect.Throws<MagiException>(() => Clients.Dummy(o => o.LeasedFrames = 9));
                Expect.Throws<ArgumentOutOfRangeException>(() => Clients.Dummy(o => o.DummyWidth = -1), "DummyWidth");
            }
            MagiException keys = Expect.Throws<MagiException>(() => new MagiClient(new MagiClientOptions { CurvePublic = "short" }));
            Expect.Equal(MagiStatus.BadKeys, keys.Status, "status");
        }

        [Test]
        public static void Info_names_the_size_the_rate_and_the_library()
        {
            using (MagiClient client = Clients.Dummy())
            {
                Clients.Next(client).Dispose();
                Expect.Equal(MagiState.Connected, client.State, "state");
                MagiInfo info = client.GetInfo();
                Expect.Equal(32, info.Width, "width");
                Expect.Equal(16, info.Height, "height");
                Expect.Equal(240.0, info.Fps, "fps");
                Expect.Equal(16, info.Stream.Length, "stream");
                Expect.True(client.GetCounters().FramesAcquired == 1, "one frame was taken");
                Expect.True(MagiClient.LibraryVersion.Split('.').Length == 3, MagiClient.LibraryVersion);
                Expect.True(MagiClient.NowNs > 0, "the clock runs");
            }
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        static int TakeFrames(MagiClient client, int frames)
        {
            int misses = 0;
            while (frames > 0)
            {
                MagiFrame frame;
                MagiReceipt receipt;
                if (client.TryAcquire(out frame))
                {
                    frame.Dispose();
                    frames--;
                }
                else
                {
                    misses++;
                    Thread.Sleep(1);
                }
                if (client.TryReceipt(out receipt) || client.State != MagiState.Connected)
                    misses++;
            }
            return misses;
        }
    }
}
