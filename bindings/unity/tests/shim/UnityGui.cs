using System;

namespace UnityEngine
{
    public struct Rect
    {
        public float x, y, width, height;

        public Rect(float x, float y, float width, float height)
        {
            this.x = x;
            this.y = y;
            this.width = width;
            this.height = height;
        }
    }

    public enum ScaleMode
    {
        StretchToFill,
        ScaleAndCrop,
        ScaleToFit
    }

    public enum EventType
    {
        KeyDown = 4,
        Repaint = 7,
        Layout = 8
    }

    public enum KeyCode
    {
        None = 0,
        Return = 13,
        F1 = 282
    }

    public sealed class Event
    {
        public static Event current = new Event();
        public EventType type { get; set; }
        public KeyCode keyCode { get; set; }

        public void Use()
        {
        }
    }

    public static class Screen
    {
        public static int width { get { return 1280; } }
        public static int height { get { return 720; } }
    }

    public static class GUI
    {
        public static void DrawTexture(Rect place, Texture texture, ScaleMode mode, bool alphaBlend)
        {
        }

        public static string TextField(Rect place, string text, int maxLength)
        {
            return text;
        }

        public static void Label(Rect place, string text)
        {
        }
    }

    public class GUILayoutOption
    {
    }

    public static class GUILayout
    {
        /// <summary>Shim only: the button that is being pressed.</summary>
        public static string Pressed;

        public static bool Button(string text, params GUILayoutOption[] options)
        {
            return text == Pressed;
        }
    }
}

namespace UnityEditor
{
    using UnityEngine;

    [AttributeUsage(AttributeTargets.Class)]
    public sealed class CustomEditor : Attribute
    {
        public CustomEditor(Type inspected)
        {
        }
    }

    public class Editor : UnityEngine.Object
    {
        public UnityEngine.Object target { get; set; }

        public virtual void OnInspectorGUI()
        {
        }

        public virtual bool RequiresConstantRepaint()
        {
            return false;
        }

        public bool DrawDefaultInspector()
        {
            return false;
        }
    }

    public enum MessageType
    {
        None,
        Info,
        Warning,
        Error
    }

    public static class EditorGUI
    {
        public struct DisabledScope : IDisposable
        {
            public DisabledScope(bool disabled)
            {
            }

            public void Dispose()
            {
            }
        }
    }

    public static class EditorGUILayout
    {
        /// <summary>Shim only: what the inspector shows.</summary>
        public static readonly System.Collections.Generic.List<string> Shown = new System.Collections.Generic.List<string>();

        public static void Space()
        {
        }

        public static Rect BeginHorizontal(params GUILayoutOption[] options)
        {
            return new Rect();
        }

        public static void EndHorizontal()
        {
        }

        public static void LabelField(string label, string label2, params GUILayoutOption[] options)
        {
            Shown.Add(label + ": " + label2);
        }

        public static void HelpBox(string message, MessageType type)
        {
            Shown.Add(type + ": " + message);
        }
    }
}
