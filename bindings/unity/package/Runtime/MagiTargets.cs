using UnityEngine;
using UnityEngine.UI;

namespace MagiRt
{
    /// <summary>
    /// Puts the texture on a Renderer and a RawImage, and afterwards what was there before, unless the
    /// game has put something else there meanwhile. The renderer's material is not touched: a property
    /// block overrides its texture. A block that the game has made itself keeps all else that is in it.
    /// </summary>
    internal sealed class MagiTargets
    {
        // Main textures of the pipelines: built-in, URP, HDRP lit, HDRP unlit.
        static readonly string[] Usual = { "_MainTex", "_BaseMap", "_BaseColorMap", "_UnlitColorMap" };

        Texture shown;
        Renderer renderer;
        string property;
        bool blockBefore;
        Texture overrideBefore;
        RawImage image;
        Texture imageBefore;

        public void Attach(Texture texture, Renderer wantedRenderer, string wantedProperty, RawImage wantedImage)
        {
            bool moved = wantedRenderer != renderer || wantedImage != image
                || (renderer != null && Property(renderer, wantedProperty) != property);
            if (!moved)
            {
                Exchange(texture);
                return;
            }
            Detach();
            shown = texture;
            if (wantedRenderer != null)
                AttachRenderer(wantedRenderer, wantedProperty);
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
            if (renderer != null && ShowsOurs(renderer))
            {
                if (blockBefore)
                    Override(overrideBefore != null ? overrideBefore : OfMaterial());
                else
                    renderer.SetPropertyBlock(null);
            }
            if (image != null && IsOurs(image.texture))
                image.texture = imageBefore;
            shown = null;
            renderer = null;
            overrideBefore = null;
            image = null;
            imageBefore = null;
        }

        // Of another size. What the game has put there in its place stays.
        void Exchange(Texture texture)
        {
            bool onRenderer = renderer != null && ShowsOurs(renderer);
            bool onImage = image != null && IsOurs(image.texture);
            shown = texture;
            if (onRenderer)
                Override(texture);
            if (onImage)
                image.texture = texture;
        }

        void AttachRenderer(Renderer wanted, string asked)
        {
            renderer = wanted;
            property = Property(wanted, asked);
            blockBefore = wanted.HasPropertyBlock();
            overrideBefore = blockBefore ? Block().GetTexture(property) : null;
            Override(shown);
        }

        bool ShowsOurs(Renderer on)
        {
            return on.HasPropertyBlock() && IsOurs(Block().GetTexture(property));
        }

        // A texture of before a new size is destroyed by now, which Unity calls null.
        bool IsOurs(Texture texture)
        {
            return texture == null || texture == shown;
        }

        MaterialPropertyBlock Block()
        {
            MaterialPropertyBlock block = new MaterialPropertyBlock();
            renderer.GetPropertyBlock(block);
            return block;
        }

        void Override(Texture texture)
        {
            MaterialPropertyBlock block = Block();
            block.SetTexture(property, texture);
            renderer.SetPropertyBlock(block);
        }

        // A block cannot forget one property: it shows the same as the material then.
        Texture OfMaterial()
        {
            Material material = renderer.sharedMaterial;
            Texture own = material != null && material.HasProperty(property) ? material.GetTexture(property) : null;
            return own != null ? own : Texture2D.whiteTexture;
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
