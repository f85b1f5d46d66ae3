using System;
using System.Collections.Generic;

namespace MagiRt.Tests
{
    /// <summary>The client against a running server, which live.py starts.</summary>
    public static class LiveTests
    {
        static string frames;
        static string control;

        public static void Connect(string framesAddress, string controlAddress)
        {
            frames = framesAddress;
            control = controlAddress;
        }

        [Test]
        public static void Frames_come_over_the_socket_and_through_shared_memory()
        {
            foreach (MagiLayout layout in new[] { MagiLayout.Parts, MagiLayout.Shared })
            {
                using (MagiClient client = Open(MagiFormat.Rgba8, MagiRows.Top, layout))
                {
                    ulong last = 0;
                    for (int i = 0; i < 5; i++)
                    {
                        using (MagiFrame frame = Clients.Next(client))
                        {
                            Expect.True(frame.Seq > last, "numbers grow");
                            last = frame.Seq;
                            Expect.Equal(frame.Stride * frame.Height, frame.Size, "size");
                        }
                    }
                    Expect.Equal(layout, client.GetInfo().Layout, "layout in use");
                    Expect.Equal(0UL, client.GetCounters().Malformed, "malformed messages");
                }
            }
        }

        [Test]
        public static void Bottom_rows_are_top_rows_in_the_opposite_order()
        {
            using (MagiClient top = Open(MagiFormat.Rgba8, MagiRows.Top, MagiLayout.Parts, MagiKeep.Every))
            using (MagiClient bottom = Open(MagiFormat.Rgba8, MagiRows.Bottom, MagiLayout.Parts, MagiKeep.Every))
            {
                Dictionary<ulong, byte[]> seen = new Dictionary<ulong, byte[]>();
                int compared = 0;
                Expect.Soon(
                    delegate
                    {
                        MagiFrame frame;
                        while (top.TryAcquire(out frame))
                        {
                            using (frame)
                                seen[frame.Seq] = Clients.Bytes(frame);
                        }
                        while (bottom.TryAcquire(out frame))
                        {
                            using (frame)
                            {
                                byte[] upright;
                                if (!seen.TryGetValue(frame.Seq, out upright))
                                    continue;
                                Expect.Equal(Clients.Flipped(upright, frame.Stride), Clients.Bytes(frame), "frame " + frame.Seq);
                                compared++;
                            }
                        }
                        return compared >= 3;
                    },
                    "frames that both saw");
            }
        }

        [Test]
        public static void A_prompt_with_flush_is_applied_and_no_older_frame_follows()
        {
            using (MagiClient client = Open(MagiFormat.Rgba8, MagiRows.Top, MagiLayout.Auto))
            {
                Clients.Next(client).Dispose();
                for (int i = 0; i < 5; i++)
                {
                    ulong id = client.SendPrompt("night falls " + i, MagiAt.Next, true);
                    ulong prompt = Clients.Receipt(client, id, MagiReceiptKind.Accepted).Prompt;
                    MagiReceipt applied = Clients.Receipt(client, id, MagiReceiptKind.Applied);
                    Expect.Equal(prompt, applied.Prompt, "prompt");
                    using (MagiFrame frame = Clients.Next(client))
                    {
                        Expect.True(frame.Epoch >= applied.Epoch, "epoch " + frame.Epoch + " after " + applied.Epoch);
                        Expect.Equal(prompt, frame.Prompt, "prompt of the frame");
                    }
                }
            }
        }

        [Test]
        public static void The_world_can_be_reset_rewound_kept_and_continued()
        {
            using (MagiClient client = Open(MagiFormat.Rgba8, MagiRows.Top, MagiLayout.Auto))
            {
                Clients.Next(client, f => f.Chunk >= 2, "some chunks").Dispose();
                Clients.Receipt(client, client.Fork("branch"), MagiReceiptKind.Accepted);
                Clients.Receipt(client, client.Snapshot("moment"), MagiReceiptKind.Accepted);
                Func<ulong>[] jumps =
                {
                    () => client.Rewind(1), () => client.Restore("branch"), () => client.Restore("moment"),
                    () => client.Reset(7)
                };
                foreach (Func<ulong> jump in jumps)
                {
                    MagiReceipt applied = Clients.Receipt(client, jump(), MagiReceiptKind.Applied);
                    Clients.Next(client, f => f.Epoch >= applied.Epoch, "a frame of the new epoch").Dispose();
                }
            }
        }

        [Test]
        public static void The_world_begins_under_a_prompt_and_goes_back_to_its_first_chunk()
        {
            using (MagiClient client = Open(MagiFormat.Rgba8, MagiRows.Top, MagiLayout.Auto))
            {
                Clients.Receipt(client, client.Pause(), MagiReceiptKind.Accepted);
                MagiReceipt begun = Clients.Receipt(client, client.Reset(7, "night falls"), MagiReceiptKind.Applied);
                using (MagiFrame frame = Clients.Next(client, f => f.Seq >= begun.Seq, "the first frame"))
                    Expect.True(frame.Prompt > 0, "the first prompt shapes it");
                MagiReceipt refused = Clients.Receipt(client, client.RewindTo(1), MagiReceiptKind.Error);
                Expect.Equal(MagiCode.Refused, refused.Code, "code of a chunk that was not shown");
                MagiReceipt back = Clients.Receipt(client, client.RewindTo(0), MagiReceiptKind.Applied);
                Expect.Equal(0UL, back.Chunk, "chunk");
                Expect.True(back.Epoch > begun.Epoch, "a new epoch");
                Clients.Receipt(client, client.Resume(), MagiReceiptKind.Accepted);
            }
        }

        [Test]
        public static void Pausing_is_heard_and_resuming_lets_frames_come_again()
        {
            using (MagiClient client = Open(MagiFormat.Rgba8, MagiRows.Top, MagiLayout.Auto))
            {
                Clients.Receipt(client, client.Pause(), MagiReceiptKind.Accepted);
                Expect.Soon(() => client.GetInfo().Paused, "paused");
                Clients.Receipt(client, client.Resume(), MagiReceiptKind.Accepted);
                Expect.Soon(() => !client.GetInfo().Paused, "goes on");
                ulong last = client.GetCounters().FramesReceived;
                Clients.Next(client, f => client.GetCounters().FramesReceived > last + 2, "more frames").Dispose();
            }
        }

        [Test]
        public static void What_the_server_refuses_comes_back_with_its_reason()
        {
            using (MagiClient client = Open(MagiFormat.Rgba8, MagiRows.Top, MagiLayout.Auto))
            {
                MagiReceipt receipt = Clients.Receipt(client, client.Restore("never_made"), MagiReceiptKind.Error);
                Expect.Equal(MagiCode.NotFound, receipt.Code, "code");
                Expect.True(receipt.Message.Length > 0, receipt.ToString());
                receipt = Clients.Receipt(client, client.SeedImage(new byte[] { 1, 2, 3 }), MagiReceiptKind.Error);
                Expect.True(receipt.Message.Length > 0, receipt.ToString());
            }
        }

        [Test]
        public static void Statistics_and_the_hello_say_who_is_there()
        {
            using (MagiClient client = Open(MagiFormat.Rgba8, MagiRows.Top, MagiLayout.Auto))
            {
                MagiReceipt receipt = Clients.Receipt(client, client.RequestStats(), MagiReceiptKind.Accepted);
                Expect.True(receipt.Details.Contains("stats"), receipt.Details);
                MagiInfo info = client.GetInfo();
                Expect.True(info.ControlAnswered && info.Server.StartsWith("magi_rt"), info.Server);
                Expect.True(info.Width > 0 && info.FramesPerChunk > 0 && info.Model.Length > 0, info.Model);
            }
        }

        [Test]
        public static void A_second_client_gets_the_last_frame_at_once_while_the_world_is_paused()
        {
            using (MagiClient first = Open(MagiFormat.Rgba8, MagiRows.Top, MagiLayout.Parts))
            {
                Clients.Next(first).Dispose();
                Clients.Receipt(first, first.Pause(), MagiReceiptKind.Accepted);
                using (MagiClient second = Open(MagiFormat.Rgba8, MagiRows.Top, MagiLayout.Parts))
                using (MagiFrame frame = Clients.Next(second))
                    Expect.True(frame.Seq > 0, "a frame came");
                Clients.Receipt(first, first.Resume(), MagiReceiptKind.Accepted);
            }
        }

        static MagiClient Open(MagiFormat format, MagiRows rows, MagiLayout layout, MagiKeep keep = MagiKeep.Newest)
        {
            MagiClientOptions options = new MagiClientOptions();
            options.Frames = frames;
            options.Control = control;
            options.Format = format;
            options.Rows = rows;
            options.Layout = layout;
            options.Keep = keep;
            options.QueueFrames = keep == MagiKeep.Every ? 64 : 0;
            return new MagiClient(options);
        }
    }
}
