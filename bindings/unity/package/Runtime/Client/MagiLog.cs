using System;
using System.Runtime.InteropServices;

namespace MagiRt
{
    /// <summary>
    /// Marks a static method that native code calls, so that ahead-of-time compilers (IL2CPP) make
    /// an entry for it. They look for the name only, so no engine assembly is needed here.
    /// </summary>
    [AttributeUsage(AttributeTargets.Method)]
    internal sealed class MonoPInvokeCallbackAttribute : Attribute
    {
        public MonoPInvokeCallbackAttribute(Type type)
        {
        }
    }

    /// <summary>The one function that the native library calls; it finds your logger by `user`.</summary>
    internal static class MagiLog
    {
        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        delegate void LogFunction(MagiLogLevel level, IntPtr message, IntPtr user);

        [ThreadStatic]
        static bool inside;

        // Held in a static field for ever: the garbage collector does not see native references.
        static readonly LogFunction Kept = Receive;

        /// <summary>Address of the function, for magi_client_desc.log.</summary>
        public static readonly IntPtr Function = Marshal.GetFunctionPointerForDelegate(Kept);

        public static bool InsideLogger
        {
            get { return inside; }
        }

        [MonoPInvokeCallback(typeof(LogFunction))]
        static void Receive(MagiLogLevel level, IntPtr message, IntPtr user)
        {
            bool outer = inside;
            inside = true;
            try
            {
                Action<MagiLogLevel, string> log = (Action<MagiLogLevel, string>)GCHandle.FromIntPtr(user).Target;
                log(level, Utf8.Read(message));
            }
            catch (Exception)
            {
                // An exception must not run through native code: it would end the process.
            }
            finally
            {
                inside = outer;
            }
        }
    }
}
