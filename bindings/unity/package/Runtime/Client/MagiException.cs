using System;

namespace MagiRt
{
    /// <summary>A call did nothing; Status says which kind of trouble, Message why and the way out.</summary>
    public sealed class MagiException : Exception
    {
        public MagiStatus Status { get; private set; }

        public MagiException(MagiStatus status, string message)
            : base(message)
        {
            Status = status;
        }

        public MagiException(MagiStatus status, string message, Exception inner)
            : base(message, inner)
        {
            Status = status;
        }

        /// <summary>The exception for a status of the native library.</summary>
        internal static Exception Of(MagiStatus status, string call)
        {
            if (status == MagiStatus.BadHandle)
                return new ObjectDisposedException("MagiClient", call + ": the client is closed");
            return new MagiException(status, call + ": " + Utf8.Read(Native.magi_status_text(status)));
        }

        /// <summary>The library knows a struct of another size than this client.</summary>
        internal static MagiException OfSize(string structName, int size)
        {
            return new MagiException(
                MagiStatus.BadSize,
                structName + " has " + size + " bytes in this C# client, but the native library magi_rt "
                + Utf8.Read(Native.magi_version()) + " (ABI " + Native.magi_abi() + ") knows another size; "
                + "take both from the same release");
        }
    }
}
