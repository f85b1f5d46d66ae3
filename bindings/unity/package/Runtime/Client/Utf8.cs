using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Text;

namespace MagiRt
{
    /// <summary>Texts and buffers that the native library reads during one call; freed on Dispose.</summary>
    internal sealed class NativeTexts : IDisposable
    {
        readonly List<IntPtr> blocks = new List<IntPtr>();

        /// <summary>UTF-8 ending with a zero byte; null stays null, which means the default.</summary>
        public IntPtr Text(string text, string what)
        {
            if (text == null)
                return IntPtr.Zero;
            if (text.IndexOf('\0') >= 0)
                throw new ArgumentException("holds a zero character, where it would be cut off", what);
            byte[] bytes = Encoding.UTF8.GetBytes(text);
            IntPtr block = Block(bytes.Length + 1);
            Marshal.Copy(bytes, 0, block, bytes.Length);
            Marshal.WriteByte(block, bytes.Length, 0);
            return block;
        }

        /// <summary>The same, but an empty text counts as not given.</summary>
        public IntPtr TextOrDefault(string text, string what)
        {
            return Text(string.IsNullOrEmpty(text) ? null : text, what);
        }

        public IntPtr Bytes(byte[] bytes)
        {
            IntPtr block = Block(Math.Max(bytes.Length, 1));
            Marshal.Copy(bytes, 0, block, bytes.Length);
            return block;
        }

        public void Dispose()
        {
            foreach (IntPtr block in blocks)
                Marshal.FreeHGlobal(block);
            blocks.Clear();
        }

        IntPtr Block(int size)
        {
            blocks.Capacity = blocks.Count + 1;
            IntPtr block = Marshal.AllocHGlobal(size);
            blocks.Add(block);
            return block;
        }
    }

    internal static unsafe class Utf8
    {
        /// <summary>A text that ends with a zero byte; empty for null.</summary>
        public static string Read(IntPtr text)
        {
            return text == IntPtr.Zero ? "" : Read((byte*)text, int.MaxValue);
        }

        /// <summary>A text in an array of `room` bytes, ending with a zero byte or at the end.</summary>
        public static string Read(byte* text, int room)
        {
            int length = 0;
            while (length < room && text[length] != 0)
                length++;
            return length == 0 ? "" : Encoding.UTF8.GetString(text, length);
        }

        /// <summary>Whether the text in the array is this one. Only texts beyond ASCII make garbage here.</summary>
        public static bool Same(byte* text, int room, string other)
        {
            if (other == null)
                return false;
            int at = 0;
            for (; at < room && text[at] != 0; at++)
            {
                if (text[at] >= 0x80)
                    return Read(text, room) == other;
                if (at >= other.Length || other[at] != text[at])
                    return false;
            }
            return at == other.Length;
        }
    }
}
