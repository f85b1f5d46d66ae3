using System;
using System.Globalization;
using System.Text;

namespace MagiRt.Tests
{
    /// <summary>
    /// Says what the client makes of what another program sends it: one line in asks, one line of
    /// key=value out answers. golden.py holds the golden files' values against it.
    /// </summary>
    internal static class Probe
    {
        // The golden answers are answers to this request.
        const ulong GoldenRequest = 12;

        // The picture in the golden requests, a PNG of one pixel.
        const string Picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVQI12P4z8AAAAMBAQAY3Y2wAAAAAElFTkSuQmCC";

        public static int Run()
        {
            string line;
            while ((line = Console.ReadLine()) != null)
            {
                string[] words = line.Split(' ');
                if (words[0] == "frame")
                    Frame(words[1], Parse<MagiFormat>(words[2]), Parse<MagiRows>(words[3]));
                else if (words[0] == "event")
                    Event(words[1]);
                else if (words[0] == "answer")
                    Answer(words[1], words[2], Parse<MagiRequestType>(words[3]), int.Parse(words[4]));
                else if (words[0] == "request")
                    Request(words[1], words[2], words[3]);
                Console.Out.Flush();
            }
            return 0;
        }

        static void Frame(string address, MagiFormat format, MagiRows rows)
        {
            using (MagiClient client = Open(address, "none", format, rows))
            {
                MagiFrame frame = new MagiFrame();
                Expect.Soon(() => client.TryAcquire(out frame) || client.GetCounters().Malformed > 0, "a frame at " + address);
                using (frame)
                {
                    if (frame.Pixels == IntPtr.Zero)
                        Console.WriteLine("malformed=" + client.GetCounters().Malformed);
                    else
                        Console.WriteLine(Told(frame));
                }
            }
        }

        static string Told(MagiFrame frame)
        {
            uint flags = (frame.Repeated ? 1u : 0u) | (frame.FirstOfEpoch ? 2u : 0u);
            return "stream=" + frame.Stream + " epoch=" + frame.Epoch + " seq=" + frame.Seq + " frame=" + frame.Frame
                + " chunk=" + frame.Chunk + " prompt=" + frame.Prompt + " due_ns=" + frame.DueNs + " sent_ns=" + frame.SentNs
                + " width=" + frame.Width + " height=" + frame.Height + " stride=" + frame.Stride
                + " format=" + frame.Format.ToString().ToLowerInvariant() + " rows=" + frame.Rows.ToString().ToLowerInvariant()
                + " size=" + frame.Size + " flags=" + flags + " steps=" + frame.Steps + " pixels=" + Hexadecimal(Clients.Bytes(frame));
        }

        static void Event(string address)
        {
            using (MagiClient client = Open(address, "none", MagiFormat.Rgba8, MagiRows.Top))
            {
                MagiCounters counters = new MagiCounters();
                Expect.Soon(
                    delegate
                    {
                        counters = client.GetCounters();
                        return counters.Events + counters.Malformed > 0;
                    },
                    "an event at " + address);
                MagiInfo info = client.GetInfo();
                Console.WriteLine(
                    "malformed=" + counters.Malformed + " events=" + counters.Events + " stream=" + info.Stream
                    + " epoch=" + info.Epoch + " state=" + info.State + " paused=" + info.Paused
                    + " fps=" + info.Fps.ToString("R", CultureInfo.InvariantCulture));
            }
        }

        static void Answer(string frames, string control, MagiRequestType type, int receipts)
        {
            using (MagiClient client = Open(frames, control, MagiFormat.Rgba8, MagiRows.Top))
            {
                // The client's own hello takes a number too, at some moment.
                Expect.Soon(() => client.GetInfo().ControlAnswered, "an answer from " + control);
                while (client.RequestStats() < GoldenRequest - 1)
                {
                }
                ulong id = SendOf(client, type);
                Expect.Equal(GoldenRequest, id, "id of the request");
                MagiReceipt receipt = new MagiReceipt();
                Expect.Soon(
                    delegate
                    {
                        if (client.TryReceipt(out receipt) && receipt.Request == id)
                            receipts--;
                        return receipts <= 0 || client.GetCounters().Malformed > 0;
                    },
                    "a receipt from " + control);
                Console.WriteLine(
                    "malformed=" + client.GetCounters().Malformed + " kind=" + receipt.Kind.ToString().ToLowerInvariant()
                    + " code=" + receipt.Code.ToString().ToLowerInvariant() + " stream=" + receipt.Stream + " epoch=" + receipt.Epoch
                    + " seq=" + receipt.Seq + " frame=" + receipt.Frame + " chunk=" + receipt.Chunk + " prompt=" + receipt.Prompt
                    + " message=" + Hexadecimal(Encoding.UTF8.GetBytes(receipt.Message ?? ""))
                    + " details=" + Hexadecimal(Encoding.UTF8.GetBytes(receipt.Details ?? "")));
            }
        }

        static ulong SendOf(MagiClient client, MagiRequestType type)
        {
            switch (type)
            {
                case MagiRequestType.Reset:
                    return client.Reset();
                case MagiRequestType.Image:
                    return client.SeedImage(new byte[] { 1, 2, 3 });
                case MagiRequestType.Rewind:
                    return client.Rewind(2);
                case MagiRequestType.Snapshot:
                    return client.Snapshot("a");
                case MagiRequestType.Restore:
                    return client.Restore("a");
                case MagiRequestType.Fork:
                    return client.Fork("a");
                case MagiRequestType.Pause:
                    return client.Pause();
                case MagiRequestType.Resume:
                    return client.Resume();
                case MagiRequestType.Set:
                    return client.Set(30);
                case MagiRequestType.Stats:
                    return client.RequestStats();
                default:
                    return client.SendPrompt("night falls");
            }
        }

        static void Request(string frames, string control, string golden)
        {
            using (MagiClient client = Open(frames, control, MagiFormat.Rgba8, MagiRows.Top))
            {
                ulong id = SendGolden(client, golden);
                MagiReceipt receipt = new MagiReceipt();
                Expect.Soon(() => client.TryReceipt(out receipt), "a receipt from " + control);
                Console.WriteLine("id=" + id + " receipt=" + receipt.Request);
            }
        }

        // What the golden file of that name asks.
        static ulong SendGolden(MagiClient client, string golden)
        {
            switch (golden)
            {
                case "prompt-full":
                    return client.SendPrompt("night falls", MagiAt.Now, true);
                case "reset":
                    return client.Reset();
                case "reset-seed":
                    return client.Reset(long.MaxValue);
                case "reset-text":
                    return client.Reset(7, "night falls");
                case "image":
                    return client.SeedImage(Convert.FromBase64String(Picture));
                case "image-text":
                    return client.SeedImage(Convert.FromBase64String(Picture), null, "");
                case "image-seed":
                    return client.SeedImage(Convert.FromBase64String(Picture), 0);
                case "rewind":
                    return client.Rewind(2);
                case "rewind-to":
                    return client.RewindTo(0);
                case "snapshot":
                    return client.Snapshot("before-the_Storm2");
                case "restore":
                    return client.Restore("before-the_Storm2");
                case "fork":
                    return client.Fork("left");
                case "set-full":
                    return client.Set(23.976, MagiFormat.Jpeg, 80);
                default:
                    throw new ArgumentException("no request is made for " + golden);
            }
        }

        static MagiClient Open(string frames, string control, MagiFormat format, MagiRows rows)
        {
            MagiClientOptions options = new MagiClientOptions();
            options.Frames = frames;
            options.Control = control;
            options.Format = format;
            options.Rows = rows;
            options.Layout = MagiLayout.Parts;
            return new MagiClient(options);
        }

        static E Parse<E>(string word)
        {
            return (E)Enum.Parse(typeof(E), word, true);
        }

        static string Hexadecimal(byte[] bytes)
        {
            return BitConverter.ToString(bytes).Replace("-", "").ToLowerInvariant();
        }
    }
}
