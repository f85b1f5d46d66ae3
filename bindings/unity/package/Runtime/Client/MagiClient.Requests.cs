using System;

namespace MagiRt
{
    // Every request returns its id at once; receipts with that id follow through TryReceipt. Errors
    // of the call itself are MagiException (TooLong, Busy, BadArgument), those of the server are
    // receipts.
    public sealed partial class MagiClient
    {
        const ulong SeedLimit = 1UL << 63;
        const ulong LastChunk = 1UL << 53;

        /// <summary>Says what happens from now on; at most 4,000 characters.</summary>
        /// <param name="text">The prompt.</param>
        /// <param name="at">From the next chunk on, or also in the chunks that are being made.</param>
        /// <param name="flush">Takes back what was made and nobody has seen yet.</param>
        public ulong SendPrompt(string text, MagiAt at = MagiAt.Next, bool flush = false)
        {
            if (text == null)
                throw new ArgumentNullException("text");
            NativeRequest request = Begin(MagiRequestType.Prompt);
            request.At = at;
            request.Flush = flush ? 1u : 0u;
            using (NativeTexts texts = new NativeTexts())
            {
                request.Text = texts.Text(text, "text");
                return Send(ref request);
            }
        }

        /// <summary>Begins the world again.</summary>
        /// <param name="seed">Null: with the same one.</param>
        /// <param name="text">The first prompt, empty for none; null: the server's own.</param>
        public ulong Reset(ulong? seed = null, string text = null)
        {
            NativeRequest request = Begin(MagiRequestType.Reset);
            SetSeed(ref request, seed);
            using (NativeTexts texts = new NativeTexts())
            {
                request.Text = texts.Text(text, "text");
                return Send(ref request);
            }
        }

        /// <summary>Begins the world again from a picture: a whole PNG, JPEG or WebP file, at most 8,388,608 bytes.</summary>
        /// <param name="image">The file's bytes.</param>
        /// <param name="seed">Null: with the same one.</param>
        /// <param name="text">The first prompt, empty for none; null: the server's own.</param>
        public ulong SeedImage(byte[] image, ulong? seed = null, string text = null)
        {
            if (image == null)
                throw new ArgumentNullException("image");
            NativeRequest request = Begin(MagiRequestType.Image);
            SetSeed(ref request, seed);
            using (NativeTexts texts = new NativeTexts())
            {
                request.Text = texts.Text(text, "text");
                request.Image = texts.Bytes(image);
                request.ImageSize = (ulong)image.Length;
                return Send(ref request);
            }
        }

        /// <summary>Goes back by 1 .. as many chunks as the server remembers.</summary>
        public ulong Rewind(int chunks = 1)
        {
            if (chunks < 1)
                throw new ArgumentOutOfRangeException("chunks", chunks, "must be at least 1");
            NativeRequest request = Begin(MagiRequestType.Rewind);
            request.Chunks = (uint)chunks;
            return Send(ref request);
        }

        /// <summary>Takes back all chunks from this number on (a frame's or receipt's Chunk), whatever is shown by then.</summary>
        public ulong RewindTo(ulong chunk)
        {
            if (chunk > LastChunk)
                throw new ArgumentOutOfRangeException("chunk", chunk, "must be at most 2^53");
            NativeRequest request = Begin(MagiRequestType.Rewind);
            request.To = chunk;
            request.HasTo = 1;
            return Send(ref request);
        }

        /// <summary>Writes this moment into the server's snapshot folder; names are 1 .. 64 of A-Z a-z 0-9 _ -.</summary>
        public ulong Snapshot(string name)
        {
            return SendNamed(MagiRequestType.Snapshot, name);
        }

        /// <summary>Goes on from a snapshot or a fork.</summary>
        public ulong Restore(string name)
        {
            return SendNamed(MagiRequestType.Restore, name);
        }

        /// <summary>Keeps this moment in the server's memory under a name.</summary>
        public ulong Fork(string name)
        {
            return SendNamed(MagiRequestType.Fork, name);
        }

        public ulong Pause()
        {
            NativeRequest request = Begin(MagiRequestType.Pause);
            return Send(ref request);
        }

        public ulong Resume()
        {
            NativeRequest request = Begin(MagiRequestType.Resume);
            return Send(ref request);
        }

        /// <summary>Changes what the server does for everybody; what is left out stays.</summary>
        /// <param name="fps">1 .. 240 frames per second.</param>
        /// <param name="format">What "any" is.</param>
        /// <param name="quality">JPEG quality, 1 .. 100.</param>
        public ulong Set(double fps = 0, MagiFormat format = MagiFormat.Default, int quality = 0)
        {
            if (quality < 0)
                throw new ArgumentOutOfRangeException("quality", quality, "must be 1 .. 100, or 0 to leave it");
            NativeRequest request = Begin(MagiRequestType.Set);
            request.Fps = fps;
            request.Format = format;
            request.Quality = (uint)quality;
            return Send(ref request);
        }

        /// <summary>Asks for the server's counters; they come in the receipt's Details.</summary>
        public ulong RequestStats()
        {
            NativeRequest request = Begin(MagiRequestType.Stats);
            return Send(ref request);
        }

        ulong SendNamed(MagiRequestType type, string name)
        {
            if (name == null)
                throw new ArgumentNullException("name");
            NativeRequest request = Begin(type);
            using (NativeTexts texts = new NativeTexts())
            {
                request.Name = texts.Text(name, "name");
                return Send(ref request);
            }
        }

        ulong Send(ref NativeRequest request)
        {
            ulong id;
            MagiStatus status = Native.magi_client_send(handle.Id, ref request, out id);
            Refuse(status, "magi_request", RequestSize, "send " + request.Type);
            return id;
        }

        static NativeRequest Begin(MagiRequestType type)
        {
            NativeRequest request = new NativeRequest();
            request.StructSize = RequestSize;
            request.Type = type;
            return request;
        }

        static void SetSeed(ref NativeRequest request, ulong? seed)
        {
            if (!seed.HasValue)
                return;
            if (seed.Value >= SeedLimit)
                throw new ArgumentOutOfRangeException("seed", seed.Value, "must be below 2^63");
            request.Seed = seed.Value;
            request.HasSeed = 1;
        }
    }
}
