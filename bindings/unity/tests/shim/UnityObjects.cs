using System;
using System.Collections.Generic;
using System.Threading;

// The smallest honest stand-in for the parts of UnityEngine that the package touches. It keeps the
// rules that bite: main thread only, destroyed objects that equal null, exact sizes of pixel data.
namespace UnityEngine
{
    [Flags]
    public enum HideFlags
    {
        None = 0,
        HideAndDontSave = 61
    }

    public class UnityException : Exception
    {
        public UnityException(string message)
            : base(message)
        {
        }
    }

    public class Object
    {
        static int mainThread;
        static readonly List<Object> Doomed = new List<Object>();
        bool destroyed;

        public string name { get; set; }
        public HideFlags hideFlags { get; set; }

        public static bool operator ==(Object a, Object b)
        {
            bool aGone = ReferenceEquals(a, null) || a.destroyed;
            bool bGone = ReferenceEquals(b, null) || b.destroyed;
            return aGone || bGone ? aGone && bGone : ReferenceEquals(a, b);
        }

        public static bool operator !=(Object a, Object b)
        {
            return !(a == b);
        }

        public override bool Equals(object other)
        {
            return this == (other as Object);
        }

        public override int GetHashCode()
        {
            return base.GetHashCode();
        }

        /// <summary>At the end of the frame, as in Unity.</summary>
        public static void Destroy(Object gone)
        {
            CheckThread("Destroy");
            Doomed.Add(gone);
        }

        public static void DestroyImmediate(Object gone)
        {
            CheckThread("DestroyImmediate");
            if (gone == null)
                return;
            gone.OnGone();
            gone.destroyed = true;
        }

        /// <summary>Shim only: whoever calls this is the main thread.</summary>
        public static void BecomeMainThread()
        {
            mainThread = Thread.CurrentThread.ManagedThreadId;
        }

        /// <summary>Shim only.</summary>
        public static void EndOfFrame()
        {
            foreach (Object gone in Doomed.ToArray())
                DestroyImmediate(gone);
            Doomed.Clear();
        }

        protected virtual void OnGone()
        {
        }

        protected static void CheckThread(string what)
        {
            if (Thread.CurrentThread.ManagedThreadId != mainThread)
                throw new UnityException(what + " can only be called from the main thread.");
        }

        protected void CheckAlive()
        {
            if (destroyed)
                throw new UnityException("The object of type '" + GetType().Name + "' has been destroyed but you are still trying to access it.");
        }
    }

    public class Component : Object
    {
        public List<Component> siblings = new List<Component>();

        public T GetComponent<T>() where T : Component
        {
            foreach (Component one in siblings)
            {
                if (one is T)
                    return (T)one;
            }
            return null;
        }
    }

    public class Behaviour : Component
    {
        public bool enabled { get; set; }

        public bool isActiveAndEnabled
        {
            get
            {
                CheckThread("get_isActiveAndEnabled");
                return enabled;
            }
        }
    }

    public class MonoBehaviour : Behaviour
    {
    }

    public static class Application
    {
        public static bool isPlaying { get; set; }
        public static bool runInBackground { get; set; }
    }

    public static class Time
    {
        public static float time { get; set; }
    }

    public static class Debug
    {
        /// <summary>Shim only: what the console shows.</summary>
        public static readonly List<string> Console = new List<string>();

        public static void Log(object message, Object context = null)
        {
            Console.Add("log " + message);
        }

        public static void LogWarning(object message, Object context)
        {
            Console.Add("warning " + message);
        }

        public static void LogError(object message, Object context)
        {
            Console.Add("error " + message);
        }
    }
}
