using System;

namespace MagiRt
{
    /// <summary>
    /// One picture, borrowed from the library until Dispose. Do not keep copies of this struct: after
    /// Dispose of one of them the pixels of all are gone. Disposing twice does no harm.
    /// </summary>
    public struct MagiFrame : IDisposable
    {
        const uint RepeatedFlag = 1;
        const uint FirstOfEpochFlag = 2;

        internal NativeFrame Native;
        internal MagiClientHandle Lender;

        /// <summary>Address of the first byte, read-only; zero after Dispose.</summary>
        public IntPtr Pixels { get { return Native.Pixels; } }

        /// <summary>Bytes at Pixels: Height times Stride, or the JPEG's length; 1 .. 268,435,456.</summary>
        public int Size { get { return (int)Native.Size; } }

        /// <summary>1 .. 16,384 pixels.</summary>
        public int Width { get { return (int)Native.Width; } }

        /// <summary>1 .. 16,384 pixels.</summary>
        public int Height { get { return (int)Native.Height; } }

        /// <summary>Bytes from one row to the next; 0 for JPEG.</summary>
        public int Stride { get { return (int)Native.Stride; } }

        public MagiFormat Format { get { return Native.Format; } }

        public MagiRows Rows { get { return Native.Rows; } }

        /// <summary>Sent again because this client came late.</summary>
        public bool Repeated { get { return (Native.Flags & RepeatedFlag) != 0; } }

        /// <summary>What came before no longer counts.</summary>
        public bool FirstOfEpoch { get { return (Native.Flags & FirstOfEpochFlag) != 0; } }

        public ulong Epoch { get { return Native.Epoch; } }

        /// <summary>Counts frames sent, from 1; gaps are frames not sent or dropped.</summary>
        public ulong Seq { get { return Native.Seq; } }

        /// <summary>The world's own number; goes back on rewind and reset.</summary>
        public ulong Frame { get { return Native.Frame; } }

        public ulong Chunk { get { return Native.Chunk; } }

        /// <summary>Id of the prompt that shaped it, 0 before the first.</summary>
        public ulong Prompt { get { return Native.Prompt; } }

        /// <summary>Denoising steps that its chunk took; 0 where the server does not say.</summary>
        public uint Steps { get { return Native.Steps; } }

        /// <summary>When it is to be shown, on the server's clock.</summary>
        public ulong DueNs { get { return Native.DueNs; } }

        /// <summary>When it was sent, on the server's clock.</summary>
        public ulong SentNs { get { return Native.SentNs; } }

        /// <summary>When it was taken from the network, on this machine's clock (MagiClient.NowNs).</summary>
        public ulong ReceivedNs { get { return Native.ReceivedNs; } }

        /// <summary>The server's run, 16 hexadecimal digits. Makes a string: not for every frame.</summary>
        public unsafe string Stream
        {
            get
            {
                fixed (byte* text = Native.Stream)
                    return Utf8.Read(text, 24);
            }
        }

        /// <summary>Bytes of one row without padding; 0 for JPEG.</summary>
        public int RowBytes
        {
            get { return Width * BytesPerPixel(Format); }
        }

        /// <summary>Copies the rows to `target`, without padding between them; Height times RowBytes bytes.</summary>
        /// <exception cref="InvalidOperationException">A JPEG, or given back already.</exception>
        /// <exception cref="ArgumentException">Fewer than Height times RowBytes bytes of room.</exception>
        public unsafe void CopyRows(IntPtr target, int targetBytes)
        {
            if (Native.Pixels == IntPtr.Zero)
                throw new InvalidOperationException("the frame was given back; copy before Dispose");
            int rowBytes = RowBytes;
            if (rowBytes == 0)
                throw new InvalidOperationException("a JPEG has no rows; ask for another format, or copy Size bytes");
            long needed = (long)rowBytes * Height;
            if (targetBytes < needed)
                throw new ArgumentException("holds " + targetBytes + " bytes, the picture needs " + needed, "targetBytes");
            byte* from = (byte*)Native.Pixels;
            byte* to = (byte*)target;
            if (Stride == rowBytes)
            {
                Buffer.MemoryCopy(from, to, targetBytes, needed);
                return;
            }
            for (int row = 0; row < Height; row++)
                Buffer.MemoryCopy(from + (long)row * Stride, to + (long)row * rowBytes, rowBytes, rowBytes);
        }

        /// <summary>Gives the frame back. Any thread, also after the client was disposed.</summary>
        public void Dispose()
        {
            MagiClientHandle lender = Lender;
            if (lender == null)
                return;
            Lender = null;
            NativeId lease = Native.Lease;
            Native = new NativeFrame();
            // The library takes a lease back once; copies of this struct are refused here.
            if (MagiRt.Native.magi_client_release_frame(lender.Id, lease) == MagiStatus.Ok)
                lender.DangerousRelease();
        }

        /// <summary>3 or 4; 0 for JPEG.</summary>
        public static int BytesPerPixel(MagiFormat format)
        {
            switch (format)
            {
                case MagiFormat.Rgb8:
                case MagiFormat.Bgr8:
                    return 3;
                case MagiFormat.Rgba8:
                case MagiFormat.Bgra8:
                    return 4;
                default:
                    return 0;
            }
        }
    }
}
