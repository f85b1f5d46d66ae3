using System;
using System.Runtime.InteropServices;

namespace MagiRt
{
    // The structs of magi_rt.h, field by field. All are blittable, so that a call neither copies
    // nor allocates; tests compare every size and offset with those of the C compiler.

    [StructLayout(LayoutKind.Sequential)]
    internal struct NativeId
    {
        public uint Id;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct NativeDesc
    {
        public uint StructSize;
        public MagiFormat Format;
        public MagiRows Rows;
        public MagiLayout Layout;
        public MagiKeep Keep;
        public uint QueueFrames;
        public uint LeasedFrames;
        public uint LostAfterMs;
        public uint RequestTimeoutMs;
        public uint Dummy;
        public uint DummyWidth;
        public uint DummyHeight;
        public double DummyFps;
        public IntPtr Frames;
        public IntPtr Control;
        public IntPtr Name;
        public IntPtr CurvePublic;
        public IntPtr CurveSecret;
        public IntPtr CurveServer;
        public IntPtr Log;
        public IntPtr LogUser;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeFrame
    {
        public uint StructSize;
        public NativeId Lease;
        public IntPtr Pixels;
        public ulong Size;
        public uint Width;
        public uint Height;
        public uint Stride;
        public MagiFormat Format;
        public MagiRows Rows;
        public uint Flags;
        public ulong Epoch;
        public ulong Seq;
        public ulong Frame;
        public ulong Chunk;
        public ulong Prompt;
        public ulong DueNs;
        public ulong SentNs;
        public ulong ReceivedNs;
        public fixed byte Stream[24];
        public uint Steps;
        public uint Reserved;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeInfo
    {
        public uint StructSize;
        public MagiState State;
        public MagiLayout Layout;
        public uint Paused;
        public uint Width;
        public uint Height;
        public uint FramesPerChunk;
        public uint DelayChunks;
        public uint PromptCharacters;
        public uint ControlAnswered;
        public ulong Epoch;
        public ulong SilentNs;
        public double Fps;
        public fixed byte Stream[24];
        public fixed byte Client[40];
        public fixed byte Frames[256];
        public fixed byte ControlAddress[256];
        public fixed byte Server[72];
        public fixed byte Model[72];
        public fixed byte Trouble[256];
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct NativeRequest
    {
        public uint StructSize;
        public MagiRequestType Type;
        public IntPtr Text;
        public IntPtr Name;
        public IntPtr Image;
        public ulong ImageSize;
        public ulong Seed;
        public uint HasSeed;
        public uint Chunks;
        public MagiAt At;
        public uint Flush;
        public double Fps;
        public MagiFormat Format;
        public uint Quality;
        public ulong To;
        public uint HasTo;
        public uint Reserved;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeReceipt
    {
        public uint StructSize;
        public MagiReceiptKind Kind;
        public ulong Request;
        public MagiRequestType Type;
        public MagiCode Code;
        public ulong Epoch;
        public ulong Seq;
        public ulong Frame;
        public ulong Chunk;
        public ulong Prompt;
        public IntPtr Message;
        public IntPtr Details;
        public fixed byte Stream[24];
    }
}
