using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;

namespace UnityEngine
{
    public enum TextureFormat
    {
        RGB24 = 3,
        RGBA32 = 4,
        BGRA32 = 14
    }

    public enum FilterMode
    {
        Point = 0,
        Bilinear = 1,
        Trilinear = 2
    }

    public enum TextureWrapMode
    {
        Repeat = 0,
        Clamp = 1
    }

    public class Texture : Object
    {
        public int width { get; protected set; }
        public int height { get; protected set; }
        public FilterMode filterMode { get; set; }
        public TextureWrapMode wrapMode { get; set; }
    }

    public class Texture2D : Texture
    {
        /// <summary>Shim only: textures made and not destroyed; more than one is a leak here.</summary>
        public static int Living { get; private set; }

        /// <summary>Shim only: what the GPU would show, first row = lowermost.</summary>
        public byte[] OnGpu { get; private set; }
        public bool HasMipmaps { get; private set; }
        public bool IsLinear { get; private set; }
        public int Uploads { get; private set; }

        byte[] inMemory;

        static Texture2D white;

        /// <summary>Unity's own, which is never destroyed.</summary>
        public static Texture2D whiteTexture
        {
            get
            {
                if (white == null)
                {
                    white = new Texture2D(4, 4, TextureFormat.RGBA32, false, false);
                    Living--;
                }
                return white;
            }
        }

        public TextureFormat format { get; private set; }

        public Texture2D(int width, int height, TextureFormat format, bool mipChain, bool linear)
        {
            CheckThread("Texture2D");
            if (width < 1 || height < 1)
                throw new UnityException("Texture has out of range width / height");
            this.width = width;
            this.height = height;
            this.format = format;
            HasMipmaps = mipChain;
            IsLinear = linear;
            inMemory = new byte[width * height * (format == TextureFormat.RGB24 ? 3 : 4)];
            OnGpu = new byte[inMemory.Length];
            Living++;
        }

        /// <summary>Of imported textures only where Read/Write is ticked.</summary>
        public bool isReadable = true;

        public void LoadRawTextureData(IntPtr data, int size)
        {
            CheckThread("LoadRawTextureData");
            CheckAlive();
            if (data == IntPtr.Zero || size < inMemory.Length)
                throw new UnityException("LoadRawTextureData: not enough data provided (will result in overread).");
            Marshal.Copy(data, inMemory, 0, inMemory.Length);
        }

        public void Apply(bool updateMipmaps)
        {
            CheckThread("Apply");
            CheckAlive();
            Buffer.BlockCopy(inMemory, 0, OnGpu, 0, inMemory.Length);
            Uploads++;
        }

        protected override void OnGone()
        {
            Living--;
        }
    }

    public static class ImageConversion
    {
        /// <summary>Shim only: no PNG is made, but bytes that say whose they would be.</summary>
        public static byte[] EncodeToPNG(this Texture2D texture)
        {
            if (!texture.isReadable)
                throw new System.ArgumentException("Texture is not readable, the texture memory can not be accessed from scripts.");
            return new byte[] { 0x89, (byte)'P', (byte)'N', (byte)'G', 13, 10, 26, 10 };
        }
    }

    public class Material : Object
    {
        readonly HashSet<string> properties;

        /// <summary>Shim only: a material whose shader has these properties.</summary>
        public Material(params string[] properties)
        {
            this.properties = new HashSet<string>(properties);
        }

        public bool HasProperty(string property)
        {
            return properties.Contains(property);
        }

        /// <summary>Shim only: none of these materials has a texture of its own.</summary>
        public Texture GetTexture(string property)
        {
            return null;
        }
    }

    public class MaterialPropertyBlock
    {
        public Dictionary<string, Texture> Textures = new Dictionary<string, Texture>();

        public void SetTexture(string property, Texture value)
        {
            if (value == null)
                throw new ArgumentNullException("value");
            Textures[property] = value;
        }

        public Texture GetTexture(string property)
        {
            Texture found;
            return Textures.TryGetValue(property, out found) ? found : null;
        }
    }

    public class Renderer : Component
    {
        /// <summary>Shim only: the overrides in force; null when none.</summary>
        public Dictionary<string, Texture> Overrides { get; private set; }
        public Material sharedMaterial { get; set; }

        public bool HasPropertyBlock()
        {
            return Overrides != null;
        }

        public void GetPropertyBlock(MaterialPropertyBlock block)
        {
            block.Textures.Clear();
            if (Overrides == null)
                return;
            foreach (KeyValuePair<string, Texture> one in Overrides)
                block.Textures[one.Key] = one.Value;
        }

        public void SetPropertyBlock(MaterialPropertyBlock block)
        {
            Overrides = block == null ? null : new Dictionary<string, Texture>(block.Textures);
        }
    }
}

namespace UnityEngine.UI
{
    public class RawImage : Component
    {
        public Texture texture { get; set; }
    }
}
