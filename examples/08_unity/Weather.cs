using System.Collections.Generic;
using MagiRt;
using UnityEngine;

/// <summary>
/// Changes the weather of a world every few seconds and says when each change is on the screen. Put
/// it beside a MagiTexture.
/// </summary>
[RequireComponent(typeof(MagiTexture))]
public class Weather : MonoBehaviour
{
    [SerializeField]
    string[] prompts = { "it rains", "the sky clears", "night falls" };

    [SerializeField, Range(1, 120)]
    float seconds = 10;

    readonly Dictionary<ulong, string> waiting = new Dictionary<ulong, string>();
    MagiTexture screen;
    float next;
    int count;

    void OnEnable()
    {
        screen = GetComponent<MagiTexture>();
        screen.OnReceipt.AddListener(Told);
    }

    void OnDisable()
    {
        screen.OnReceipt.RemoveListener(Told);
        waiting.Clear();
    }

    void Update()
    {
        if (!screen.Connected || prompts.Length == 0 || Time.time < next)
            return;
        next = Time.time + seconds;
        string prompt = prompts[count++ % prompts.Length];
        waiting[screen.Client.SendPrompt(prompt, MagiAt.Now, true)] = prompt;
    }

    void Told(MagiReceipt receipt)
    {
        string prompt;
        if (receipt.Kind == MagiReceiptKind.Accepted || !waiting.TryGetValue(receipt.Request, out prompt))
            return;
        waiting.Remove(receipt.Request);
        Debug.Log(receipt.Kind == MagiReceiptKind.Applied
            ? prompt + ": on the screen from frame " + receipt.Seq + " on"
            : prompt + ": " + receipt.Message);
    }
}
