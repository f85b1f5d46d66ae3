using System;
using System.Reflection;
using UnityEngine;

/// <summary>Shim only: calls a component's life cycle as the engine does, by name and on one thread.</summary>
public static class Player
{
    const BindingFlags Any = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic;

    public static void EnterPlayMode()
    {
        UnityEngine.Object.BecomeMainThread();
        Application.isPlaying = true;
        Debug.Console.Clear();
    }

    public static void ExitPlayMode()
    {
        Application.isPlaying = false;
    }

    /// <summary>A component as the engine makes it from a scene: fields first, then Awake, OnEnable.</summary>
    public static T Add<T>(Action<T> deserialize) where T : MonoBehaviour, new()
    {
        T made = new T();
        deserialize(made);
        Call(made, "OnValidate");
        Call(made, "Awake");
        Enable(made);
        return made;
    }

    public static void Enable(MonoBehaviour component)
    {
        component.enabled = true;
        Call(component, "OnEnable");
    }

    public static void Disable(MonoBehaviour component)
    {
        if (!component.enabled)
            return;
        component.enabled = false;
        Call(component, "OnDisable");
    }

    public static void Frame(MonoBehaviour component)
    {
        if (component.enabled)
            Call(component, "Update");
        UnityEngine.Object.EndOfFrame();
    }

    public static void Remove(MonoBehaviour component)
    {
        Disable(component);
        Call(component, "OnDestroy");
        UnityEngine.Object.DestroyImmediate(component);
        UnityEngine.Object.EndOfFrame();
    }

    /// <summary>
    /// Scripts were compiled during play: OnDisable, a new object that has the serialized fields and,
    /// as in the editor, the private ones of simple types; then OnEnable, without Awake.
    /// </summary>
    public static T ReloadDomain<T>(T old) where T : MonoBehaviour, new()
    {
        bool enabled = old.enabled;
        Disable(old);
        UnityEngine.Object.EndOfFrame();
        T made = new T();
        foreach (FieldInfo field in typeof(T).GetFields(Any))
        {
            if (SurvivesReload(field))
                field.SetValue(made, field.GetValue(old));
        }
        if (enabled)
            Enable(made);
        return made;
    }

    public static void Set(object component, string field, object value)
    {
        component.GetType().GetField(field, Any).SetValue(component, value);
    }

    public static void Call(object component, string method)
    {
        MethodInfo found = component.GetType().GetMethod(method, Any, null, Type.EmptyTypes, null);
        if (found == null)
            return;
        try
        {
            found.Invoke(component, null);
        }
        catch (TargetInvocationException wrapped)
        {
            throw new Exception(method + " threw: " + wrapped.InnerException.Message, wrapped.InnerException);
        }
    }

    static bool SurvivesReload(FieldInfo field)
    {
        if (field.IsInitOnly || Attribute.IsDefined(field, typeof(NonSerializedAttribute)))
            return false;
        Type type = field.FieldType;
        return type == typeof(string) || type.IsPrimitive || type.IsEnum
            || typeof(UnityEngine.Object).IsAssignableFrom(type) || Attribute.IsDefined(field, typeof(SerializeField));
    }
}
