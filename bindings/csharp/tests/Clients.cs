using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;

namespace MagiRt.Tests
{
    /// <summary>What the tests do again and again with a client.</summary>
    internal static class Clients
    {
        public static MagiClient Dummy(Action<MagiClientOptions> change = null)
        {
            MagiClientOptions options = new MagiClientOptions();
            options.Dummy = true;
            options.DummyWidth = 32;
            options.DummyHeight = 16;
            options.DummyFps = 240;
            if (change != null)
                change(options);
            return new MagiClient(options);
        }

        /// <summary>Waits for a frame; the caller disposes it.</summary>
        public static MagiFrame Next(MagiClient client)
        {
            return Next(client, frame => true, "a frame");
        }

        /// <summary>Waits for a frame of which something holds; others are given back.</summary>
        public static MagiFrame Next(MagiClient client, Func<MagiFrame, bool> wanted, string what)
        {
            MagiFrame found = new MagiFrame();
            Expect.Soon(
                delegate
                {
                    MagiFrame frame;
                    if (!client.TryAcquire(out frame))
                        return false;
                    if (wanted(frame))
                    {
                        found = frame;
                        return true;
                    }
                    frame.Dispose();
                    return false;
                },
                what);
            return found;
        }

        /// <summary>Waits for a receipt of a request; others are passed over.</summary>
        public static MagiReceipt Receipt(MagiClient client, ulong request, MagiReceiptKind kind)
        {
            MagiReceipt found = new MagiReceipt();
            List<string> others = new List<string>();
            try
            {
                Expect.Soon(
                    delegate
                    {
                        MagiReceipt receipt;
                        if (!client.TryReceipt(out receipt))
                            return false;
                        if (receipt.Request == request && receipt.Kind == kind)
                        {
                            found = receipt;
                            return true;
                        }
                        others.Add(receipt.ToString());
                        return false;
                    },
                    kind + " for request " + request);
            }
            catch (Broken problem)
            {
                throw new Broken(problem.Message + "; came: " + string.Join("; ", others.ToArray()));
            }
            return found;
        }

        /// <summary>A copy of the pixels as they lie in memory.</summary>
        public static byte[] Bytes(MagiFrame frame)
        {
            byte[] bytes = new byte[frame.Size];
            Marshal.Copy(frame.Pixels, bytes, 0, bytes.Length);
            return bytes;
        }

        /// <summary>The rows of a packed picture in the opposite order.</summary>
        public static byte[] Flipped(byte[] pixels, int rowBytes)
        {
            byte[] flipped = new byte[pixels.Length];
            for (int at = 0; at < pixels.Length; at += rowBytes)
                Buffer.BlockCopy(pixels, at, flipped, pixels.Length - rowBytes - at, rowBytes);
            return flipped;
        }
    }
}
