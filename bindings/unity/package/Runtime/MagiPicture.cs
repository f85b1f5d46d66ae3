using System;
using System.Runtime.InteropServices;
using UnityEngine;

namespace MagiRt
{
    /// <summary>The texture that frames are put into. Main thread only.</summary>
    internal sealed class MagiPicture : IDisposable
    {
        // Rows that come with padding are packed here first; most servers send none.
        IntPtr packed;
        int packedBytes;

        public Texture2D Texture { get; private set; }

        /// <summary>Shows a frame; true when a new texture had to be made for its size or format.</summary>
        public bool Show(ref MagiFrame frame, FilterMode filter)
        {
            TextureFormat format = FormatOf(frame.Format);
            bool fresh = Texture == null || Texture.width != frame.Width || Texture.height != frame.Height
                || Texture.format != format;
            if (fresh)
                Make(frame.Width, frame.Height, format);
            if (Texture.filterMode != filter)
                Texture.filterMode = filter;
            Upload(ref frame);
            return fresh;
        }

        public void Dispose()
        {
            Drop();
            if (packed != IntPtr.Zero)
                Marshal.FreeHGlobal(packed);
            packed = IntPtr.Zero;
            packedBytes = 0;
        }

        void Make(int width, int height, TextureFormat format)
        {
            Drop();
            // No mipmaps, and not linear: the bytes are sRGB, the sampler turns them into light.
            Texture = new Texture2D(width, height, format, false, false);
            Texture.name = "magi_rt " + width + "x" + height;
            Texture.wrapMode = TextureWrapMode.Clamp;
            Texture.hideFlags = HideFlags.HideAndDontSave;
        }

        void Upload(ref MagiFrame frame)
        {
            int bytes = frame.RowBytes * frame.Height;
            if (frame.Stride == frame.RowBytes)
            {
                Texture.LoadRawTextureData(frame.Pixels, bytes);
            }
            else
            {
                Reserve(bytes);
                frame.CopyRows(packed, packedBytes);
                Texture.LoadRawTextureData(packed, bytes);
            }
            Texture.Apply(false);
        }

        void Reserve(int bytes)
        {
            if (packedBytes >= bytes)
                return;
            packed = packed == IntPtr.Zero
                ? Marshal.AllocHGlobal(bytes)
                : Marshal.ReAllocHGlobal(packed, new IntPtr(bytes));
            packedBytes = bytes;
        }

        void Drop()
        {
            if (Texture == null)
                return;
            if (Application.isPlaying)
                UnityEngine.Object.Destroy(Texture);
            else
                UnityEngine.Object.DestroyImmediate(Texture);
            Texture = null;
        }

        /// <summary>What to ask of the server, so that nothing is converted here.</summary>
        public static MagiFormat Asked(MagiTextureFormat format)
        {
            switch (format)
            {
                case MagiTextureFormat.Bgra32:
                    return MagiFormat.Bgra8;
                case MagiTextureFormat.Rgb24:
                    return MagiFormat.Rgb8;
                default:
                    return MagiFormat.Rgba8;
            }
        }

        static TextureFormat FormatOf(MagiFormat format)
        {
            switch (format)
            {
                case MagiFormat.Rgba8:
                    return TextureFormat.RGBA32;
                case MagiFormat.Bgra8:
                    return TextureFormat.BGRA32;
                case MagiFormat.Rgb8:
                    return TextureFormat.RGB24;
                default:
                    throw new InvalidOperationException("frames of format " + format + " do not fit a texture as they come");
            }
        }
    }
}
