using UnityEngine;
using UnityEngine.UI;

namespace MagiRt
{
    /// <summary>
    /// Puts the texture on a Renderer and a RawImage, and leaves both as they were. The renderer's
    /// material is not touched: a property block overrides its texture.
    /// </summary>
    internal sealed class MagiTargets
    {
        // Main textures of the pipelines: built-in, URP, HDRP lit, HDRP unlit.
        static readonly string[] Usual = { "_MainTex", "_BaseMap", "_BaseColorMap", "_UnlitColorMap" };

        Renderer renderer;
        MaterialPropertyBlock before;
        RawImage image;
        Texture imageBefore;

        public void Attach(Texture texture, Renderer wantedRenderer, string property, RawImage wantedImage)
        {
            Detach();
            if (wantedRenderer != null)
                AttachRenderer(texture, wantedRenderer, property);
            if (wantedImage != null)
            {
                image = wantedImage;
                imageBefore = image.texture;
                image.texture = texture;
            }
        }

        public void Detach()
        {
            // Unity's own null: the object may have been destroyed meanwhile.
            if (renderer != null)
                renderer.SetPropertyBlock(before);
            if (image != null)
                image.texture = imageBefore;
            renderer = null;
            before = null;
            image = null;
            imageBefore = null;
        }

        void AttachRenderer(Texture texture, Renderer wanted, string property)
        {
            renderer = wanted;
            if (wanted.HasPropertyBlock())
            {
                before = new MaterialPropertyBlock();
                wanted.GetPropertyBlock(before);
            }
            MaterialPropertyBlock block = new MaterialPropertyBlock();
            wanted.GetPropertyBlock(block);
            block.SetTexture(Property(wanted, property), texture);
            wanted.SetPropertyBlock(block);
        }

        static string Property(Renderer renderer, string asked)
        {
            if (!string.IsNullOrEmpty(asked))
                return asked;
            Material material = renderer.sharedMaterial;
            if (material != null)
            {
                foreach (string name in Usual)
                {
                    if (material.HasProperty(name))
                        return name;
                }
            }
            return Usual[0];
        }
    }
}
