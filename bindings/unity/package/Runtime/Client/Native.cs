using System;
using System.Runtime.InteropServices;

namespace MagiRt
{
    /// <summary>The functions of magi_rt.h, and the check that the loaded library is the right one.</summary>
    internal static class Native
    {
        /// <summary>MAGI_RT_ABI of the header that this client was written against.</summary>
        public const uint Abi = 1;

#if (UNITY_IOS || UNITY_TVOS || UNITY_VISIONOS) && !UNITY_EDITOR
        const string Library = "__Internal";
#else
        const string Library = "magi_rt";
#endif
        const CallingConvention C = CallingConvention.Cdecl;

        [DllImport(Library, CallingConvention = C)]
        public static extern uint magi_abi();

        [DllImport(Library, CallingConvention = C)]
        public static extern IntPtr magi_version();

        [DllImport(Library, CallingConvention = C)]
        public static extern ulong magi_now_ns();

        [DllImport(Library, CallingConvention = C)]
        public static extern IntPtr magi_status_text(MagiStatus status);

        [DllImport(Library, CallingConvention = C)]
        public static extern MagiStatus magi_client_open(ref NativeDesc desc, out NativeId client);

        [DllImport(Library, CallingConvention = C)]
        public static extern MagiStatus magi_client_close(NativeId client);

        [DllImport(Library, CallingConvention = C)]
        public static extern MagiStatus magi_client_acquire_frame(NativeId client, ref NativeFrame frame);

        [DllImport(Library, CallingConvention = C)]
        public static extern MagiStatus magi_client_release_frame(NativeId client, NativeId lease);

        [DllImport(Library, CallingConvention = C)]
        public static extern MagiStatus magi_client_get_info(NativeId client, ref NativeInfo info);

        [DllImport(Library, CallingConvention = C)]
        public static extern MagiStatus magi_client_get_counters(NativeId client, ref MagiCounters counters);

        [DllImport(Library, CallingConvention = C)]
        public static extern MagiStatus magi_client_send(NativeId client, ref NativeRequest request, out ulong id);

        [DllImport(Library, CallingConvention = C)]
        public static extern MagiStatus magi_client_poll_receipt(NativeId client, ref NativeReceipt receipt);

        static bool checkedOnce;

        /// <summary>Throws when the library is missing or of another ABI. Cheap after the first time.</summary>
        public static void Check()
        {
            if (checkedOnce)
                return;
            CompareAbi(LoadedAbi(), Abi);
            checkedOnce = true;
        }

        public static void CompareAbi(uint library, uint client)
        {
            if (library != client)
                throw new MagiException(
                    MagiStatus.BadSize,
                    "the native library magi_rt has ABI " + library + " but this C# client was written for ABI "
                    + client + "; take both from the same release, and restart the editor so that it loads the new one");
        }

        static uint LoadedAbi()
        {
            try
            {
                return magi_abi();
            }
            catch (DllNotFoundException problem)
            {
                throw new MagiException(MagiStatus.System, Missing(), problem);
            }
            catch (EntryPointNotFoundException problem)
            {
                throw new MagiException(
                    MagiStatus.System,
                    "a library named magi_rt was found, but it has no function magi_abi: another library of that name "
                    + "lies before ours on the search path",
                    problem);
            }
            catch (BadImageFormatException problem)
            {
                throw new MagiException(
                    MagiStatus.System,
                    "the native library magi_rt is built for another processor; this process needs a "
                    + (IntPtr.Size * 8) + "-bit one for its own architecture",
                    problem);
            }
        }

        static string Missing()
        {
            return "the native library magi_rt (magi_rt.dll, libmagi_rt.so or libmagi_rt.dylib) or one that it needs "
                + "(libzmq, msgpack-c) was not found. Build it with the project's CMakeLists.txt; then Unity: put it into "
                + "Assets/Plugins; elsewhere: beside the program, or on the library path";
        }
    }
}
