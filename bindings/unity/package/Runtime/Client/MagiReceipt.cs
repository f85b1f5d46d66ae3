namespace MagiRt
{
    /// <summary>What came back about a request: one accepted or error, and one applied or error more
    /// for requests that change the picture.</summary>
    public struct MagiReceipt
    {
        public MagiReceiptKind Kind { get; private set; }

        /// <summary>The id that sending gave.</summary>
        public ulong Request { get; private set; }

        public MagiRequestType Type { get; private set; }

        /// <summary>Of an error.</summary>
        public MagiCode Code { get; private set; }

        /// <summary>Newest epoch at the server, or (applied) the first frame's.</summary>
        public ulong Epoch { get; private set; }

        /// <summary>Applied: the first frame that shows it; so are Frame and Chunk.</summary>
        public ulong Seq { get; private set; }

        public ulong Frame { get; private set; }

        public ulong Chunk { get; private set; }

        /// <summary>Prompts: the id that frames carry.</summary>
        public ulong Prompt { get; private set; }

        /// <summary>Error: a sentence for people, else empty.</summary>
        public string Message { get; private set; }

        /// <summary>The answer's other keys as a JSON object, "{}" when none.</summary>
        public string Details { get; private set; }

        /// <summary>The server's run, 16 hexadecimal digits.</summary>
        public string Stream { get; private set; }

        internal static unsafe MagiReceipt Of(ref NativeReceipt native)
        {
            MagiReceipt receipt = new MagiReceipt();
            receipt.Kind = native.Kind;
            receipt.Request = native.Request;
            receipt.Type = native.Type;
            receipt.Code = native.Code;
            receipt.Epoch = native.Epoch;
            receipt.Seq = native.Seq;
            receipt.Frame = native.Frame;
            receipt.Chunk = native.Chunk;
            receipt.Prompt = native.Prompt;
            receipt.Message = Utf8.Read(native.Message);
            receipt.Details = Utf8.Read(native.Details);
            fixed (byte* stream = native.Stream)
                receipt.Stream = Utf8.Read(stream, 24);
            return receipt;
        }

        public override string ToString()
        {
            string text = Type + " " + Request + " " + Kind;
            if (Kind == MagiReceiptKind.Error)
                return text + " " + Code + ": " + Message;
            return Kind == MagiReceiptKind.Applied ? text + " from frame " + Frame + " (seq " + Seq + ")" : text;
        }
    }
}
