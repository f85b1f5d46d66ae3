using MagiRt;
using UnityEngine;

/// <summary>
/// Put this on an empty object of an empty scene and press Play: the world fills the screen, Enter
/// sends the line below as a prompt, F1 .. F3 send three of them at once.
/// </summary>
[RequireComponent(typeof(MagiTexture))]
public class Steer : MonoBehaviour
{
    [SerializeField]
    string[] prompts = { "gravity pulls left", "gravity pulls right", "night falls" };

    string line = "";
    string answer = "";
    MagiTexture world;

    void OnEnable()
    {
        // Keeps frames coming while another window has the focus.
        Application.runInBackground = true;
        world = GetComponent<MagiTexture>();
        world.OnReceipt.AddListener(Show);
    }

    void OnDisable()
    {
        world.OnReceipt.RemoveListener(Show);
    }

    void Show(MagiReceipt receipt)
    {
        answer = receipt.ToString();
    }

    void OnGUI()
    {
        if (world.Texture != null)
            GUI.DrawTexture(new Rect(0, 0, Screen.width, Screen.height), world.Texture, ScaleMode.ScaleToFit, false);
        Keys(Event.current);
        line = GUI.TextField(new Rect(10, Screen.height - 60, Screen.width - 20, 24), line, 4000);
        string state = world.Connected ? "connected" : "no server at " + world.Address;
        GUI.Label(new Rect(10, Screen.height - 32, Screen.width - 20, 24), state + "   " + answer);
    }

    void Keys(Event pressed)
    {
        if (pressed.type != EventType.KeyDown)
            return;
        int index = pressed.keyCode - KeyCode.F1;
        if (index >= 0 && index < prompts.Length)
            world.SendPrompt(prompts[index]);
        if (pressed.keyCode == KeyCode.Return && line.Length > 0)
        {
            world.SendPrompt(line);
            line = "";
            pressed.Use();
        }
    }
}
