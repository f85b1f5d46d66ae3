using System;
using UnityEngine;
using UnityEngine.Events;

namespace MagiRt
{
    /// <summary>What a texture of Unity can take as it comes, without a conversion.</summary>
    public enum MagiTextureFormat
    {
        Rgba32 = 0,
        Bgra32 = 1,
        /// <summary>A quarter fewer bytes on the way; some GPUs convert it when it is uploaded.</summary>
        Rgb24 = 2
    }

    [Serializable]
    public class MagiTextureEvent : UnityEvent<Texture>
    {
    }

    [Serializable]
    public class MagiConnectionEvent : UnityEvent<bool>
    {
    }

    [Serializable]
    public class MagiReceiptEvent : UnityEvent<MagiReceipt>
    {
    }
}
