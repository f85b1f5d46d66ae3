using UnityEditor;
using UnityEngine;

namespace MagiRt
{
    /// <summary>The inspector of MagiTexture: its fields, a Send button, and how the connection is.</summary>
    [CustomEditor(typeof(MagiTexture))]
    public sealed class MagiTextureEditor : Editor
    {
        MagiInfo info;
        MagiCounters counters;

        public override bool RequiresConstantRepaint()
        {
            return Application.isPlaying;
        }

        public override void OnInspectorGUI()
        {
            DrawDefaultInspector();
            MagiTexture texture = (MagiTexture)target;
            EditorGUILayout.Space();
            using (new EditorGUI.DisabledScope(texture.Client == null))
                Buttons(texture);
            ShowState(texture);
        }

        static void Buttons(MagiTexture texture)
        {
            EditorGUILayout.BeginHorizontal();
            if (GUILayout.Button("Send prompt"))
                texture.SendPromptField();
            if (GUILayout.Button("Pause"))
                texture.PauseWorld();
            if (GUILayout.Button("Resume"))
                texture.ResumeWorld();
            if (GUILayout.Button("Reset world"))
                texture.ResetWorld();
            EditorGUILayout.EndHorizontal();
        }

        void ShowState(MagiTexture texture)
        {
            if (!string.IsNullOrEmpty(texture.Problem))
            {
                EditorGUILayout.HelpBox(texture.Problem, MessageType.Error);
                return;
            }
            if (texture.Client == null)
            {
                EditorGUILayout.HelpBox("Connects in play mode, while the component is enabled.", MessageType.Info);
                return;
            }
            // What is laid out must be painted, whatever the client's thread has heard between the two.
            if (info == null || Event.current.type == EventType.Layout)
            {
                info = texture.Client.GetInfo();
                counters = texture.Client.GetCounters();
            }
            EditorGUILayout.LabelField("State", info.State + (info.Paused ? ", paused" : "") + ", " + info.Layout);
            EditorGUILayout.LabelField("World", info.Model + " " + info.Width + "x" + info.Height + ", " + info.Fps + " fps");
            EditorGUILayout.LabelField("Shown", "frame " + texture.ShownSeq + ", prompt " + texture.ShownPrompt);
            EditorGUILayout.LabelField("Frames", counters.FramesReceived + " received, " + counters.FramesAcquired + " shown");
            if (!string.IsNullOrEmpty(info.Trouble))
                EditorGUILayout.HelpBox(info.Trouble, MessageType.Warning);
        }
    }
}
