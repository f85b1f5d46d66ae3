using System;
using System.Collections.Generic;

namespace UnityEngine.Events
{
    public delegate void UnityAction<T>(T value);

    public class UnityEvent<T>
    {
        readonly List<UnityAction<T>> listeners = new List<UnityAction<T>>();

        public void AddListener(UnityAction<T> listener)
        {
            listeners.Add(listener);
        }

        public void RemoveListener(UnityAction<T> listener)
        {
            listeners.Remove(listener);
        }

        public void Invoke(T value)
        {
            foreach (UnityAction<T> listener in listeners.ToArray())
                listener(value);
        }
    }
}

namespace UnityEngine
{
    [AttributeUsage(AttributeTargets.Field)]
    public sealed class HideInInspector : Attribute
    {
    }

    public sealed class SerializeField : Attribute
    {
    }

    [AttributeUsage(AttributeTargets.Field)]
    public sealed class HeaderAttribute : Attribute
    {
        public HeaderAttribute(string header)
        {
        }
    }

    [AttributeUsage(AttributeTargets.Field)]
    public sealed class TooltipAttribute : Attribute
    {
        public TooltipAttribute(string tooltip)
        {
        }
    }

    [AttributeUsage(AttributeTargets.Field)]
    public sealed class RangeAttribute : Attribute
    {
        public RangeAttribute(float min, float max)
        {
        }
    }

    [AttributeUsage(AttributeTargets.Field)]
    public sealed class TextAreaAttribute : Attribute
    {
        public TextAreaAttribute(int minLines, int maxLines)
        {
        }
    }

    [AttributeUsage(AttributeTargets.Class)]
    public sealed class AddComponentMenu : Attribute
    {
        public AddComponentMenu(string menuName)
        {
        }
    }

    [AttributeUsage(AttributeTargets.Class)]
    public sealed class DisallowMultipleComponent : Attribute
    {
    }

    [AttributeUsage(AttributeTargets.Class)]
    public sealed class RequireComponent : Attribute
    {
        public RequireComponent(Type required)
        {
        }
    }
}
