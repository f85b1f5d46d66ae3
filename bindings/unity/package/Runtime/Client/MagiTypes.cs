namespace MagiRt
{
    /// <summary>What the native library answers: 0 success, positive ordinary, negative did nothing.</summary>
    public enum MagiStatus
    {
        Ok = 0,
        NoFrame = 1,
        NoReceipt = 2,
        Lost = 3,
        BadHandle = -1,
        BadArgument = -2,
        BadSize = -3,
        TooLong = -4,
        Busy = -5,
        NoMemory = -6,
        BadKeys = -7,
        NoNetwork = -8,
        BadAddress = -9,
        System = -10
    }

    /// <summary>How pixels lie in memory, in the order of their bytes. Alpha is always 255; colours are sRGB.</summary>
    public enum MagiFormat
    {
        /// <summary>Rgba8.</summary>
        Default = 0,
        Rgb8 = 1,
        Rgba8 = 2,
        Bgra8 = 3,
        Bgr8 = 4,
        /// <summary>Handed out as received, not decoded; rows are always top first.</summary>
        Jpeg = 5,
        /// <summary>Only for asking: the server's choice. A frame says which it is.</summary>
        Any = 6
    }

    /// <summary>Which row of the picture comes first in memory.</summary>
    public enum MagiRows
    {
        /// <summary>Top.</summary>
        Default = 0,
        Top = 1,
        /// <summary>The lowermost row first: what a Unity texture expects.</summary>
        Bottom = 2
    }

    /// <summary>How pixels travel.</summary>
    public enum MagiLayout
    {
        /// <summary>Shared memory when the server is on this machine and offers it, else the socket.</summary>
        Auto = 0,
        Parts = 1,
        Shared = 2
    }

    /// <summary>Which frames are kept until you take them.</summary>
    public enum MagiKeep
    {
        /// <summary>Only the newest: what a game wants.</summary>
        Newest = 0,
        /// <summary>One after the other, up to QueueFrames: what a recorder wants.</summary>
        Every = 1
    }

    public enum MagiLogLevel
    {
        Info = 1,
        Warning = 2,
        Error = 3
    }

    public enum MagiState
    {
        /// <summary>Nothing heard yet.</summary>
        Waiting = 0,
        Connected = 1,
        /// <summary>Was there, now silent; the client goes on listening.</summary>
        Lost = 2,
        /// <summary>The server said bye; the client listens for the next one.</summary>
        Ended = 3
    }

    /// <summary>When a prompt begins to count.</summary>
    public enum MagiAt
    {
        /// <summary>From the next chunk on.</summary>
        Next = 0,
        /// <summary>Also turns the chunks that are being made.</summary>
        Now = 1
    }

    public enum MagiRequestType
    {
        Prompt = 1,
        Reset = 2,
        Image = 3,
        Rewind = 4,
        Snapshot = 5,
        Restore = 6,
        Fork = 7,
        Pause = 8,
        Resume = 9,
        Set = 10,
        Stats = 11
    }

    public enum MagiReceiptKind
    {
        /// <summary>Understood, and done or sure to be done.</summary>
        Accepted = 1,
        /// <summary>The first frame that shows it has been sent.</summary>
        Applied = 2,
        /// <summary>Not done; code and message say why.</summary>
        Error = 3
    }

    /// <summary>Why a request was not done.</summary>
    public enum MagiCode
    {
        None = 0,
        Malformed = 1,
        Version = 2,
        UnknownType = 3,
        Refused = 4,
        TooLarge = 5,
        NotFound = 6,
        Busy = 7,
        Superseded = 8,
        Failed = 9,
        Other = 99,
        /// <summary>Made by the client: no answer within RequestTimeoutMs.</summary>
        Timeout = 100,
        /// <summary>Made by the client: accepted by a server that has restarted since.</summary>
        Restarted = 101
    }
}
