using System;
using UnityEngine;
using UnityEngine.UI;

namespace MagiRt
{
    /// <summary>
    /// Shows a running magi_rt world in a texture and sends prompts to it. Everything here happens on
    /// the main thread and waits for nothing; the connection is open while the component is enabled.
    /// </summary>
    [AddComponentMenu("magi_rt/Magi Texture")]
    [DisallowMultipleComponent]
    public partial class MagiTexture : MonoBehaviour
    {
        [Header("Server")]
        [SerializeField, Tooltip("Where the frames come from; as `magi-rt serve` prints it.")]
        string address = "tcp://127.0.0.1:5590";

        [SerializeField, Tooltip("Empty: the next port. \"none\": frames only.")]
        string controlAddress = "";

        [SerializeField, Tooltip("The server sends exactly this, in Unity's row order; nothing is converted here.")]
        MagiTextureFormat format = MagiTextureFormat.Rgba32;

        [SerializeField, Tooltip("Auto: shared memory when the server runs on this machine.")]
        MagiLayout layout = MagiLayout.Auto;

        [Header("Show on (may be empty)")]
        [SerializeField]
        Renderer targetRenderer;

        [SerializeField, Tooltip("Texture property of the renderer's shader. Empty: found by itself.")]
        string textureProperty = "";

        [SerializeField]
        RawImage targetImage;

        [SerializeField]
        FilterMode filterMode = FilterMode.Bilinear;

        [Header("Without a server")]
        [SerializeField, Tooltip("A moving picture made here: for work while no server runs.")]
        bool dummy;

        [SerializeField, Range(16, 4096)]
        int dummyWidth = 640;

        [SerializeField, Range(16, 4096)]
        int dummyHeight = 360;

        [SerializeField, Range(1, 240)]
        float dummyFps = 24;

        [Header("Prompt")]
        [SerializeField, TextArea(2, 5)]
        string prompt = "";

        [SerializeField, Tooltip("Next: from the next chunk on. Now: also in the chunks that are being made.")]
        MagiAt promptAt = MagiAt.Next;

        // Survives a reload of scripts, as a delegate does not.
        [SerializeField, HideInInspector]
        bool hasBeforeOpen;

        Action<MagiClientOptions> beforeOpen;

        [SerializeField, Tooltip("Take back what was made and nobody has seen yet.")]
        bool promptFlush;

        [Header("Events")]
        [SerializeField]
        MagiTextureEvent onTexture = new MagiTextureEvent();

        [SerializeField]
        MagiConnectionEvent onConnection = new MagiConnectionEvent();

        [SerializeField]
        MagiReceiptEvent onReceipt = new MagiReceiptEvent();

        readonly MagiPicture picture = new MagiPicture();
        readonly MagiTargets targets = new MagiTargets();
        MagiClient client;
        [NonSerialized]
        string opened;
        [NonSerialized]
        bool reopen;
        [NonSerialized]
        bool targetsChanged;
        [NonSerialized]
        bool connected;
        [NonSerialized]
        string trouble = "";

        /// <summary>The newest picture, or null before the first. Another object after a new size.</summary>
        public Texture2D Texture { get { return picture.Texture; } }

        /// <summary>A new texture was made: assign it where the old one was.</summary>
        public MagiTextureEvent OnTexture { get { return onTexture; } }

        /// <summary>True: the server is heard. False: it is silent or gone.</summary>
        public MagiConnectionEvent OnConnection { get { return onConnection; } }

        /// <summary>What came back about a request.</summary>
        public MagiReceiptEvent OnReceipt { get { return onReceipt; } }

        /// <summary>For code that wants ids, seeds and the other verbs; null while disabled.</summary>
        public MagiClient Client { get { return client; } }

        public bool Connected { get { return connected; } }

        /// <summary>Why it could not be opened, as a sentence; empty when all is well.</summary>
        public string Problem { get; private set; }

        /// <summary>Number of the shown frame in the order of sending; 0 before the first.</summary>
        public ulong ShownSeq { get; private set; }

        /// <summary>Number of the chunk that the shown frame is of, for RewindWorldTo.</summary>
        public ulong ShownChunk { get; private set; }

        /// <summary>Id of the prompt that shaped the shown frame; 0 before the first.</summary>
        public ulong ShownPrompt { get; private set; }

        /// <summary>
        /// Called with the options before a client is opened; the place for CURVE keys, which do not
        /// belong into a scene. Set it while the component is disabled. A reload of scripts in play mode
        /// takes it away: nothing is opened then until it is set again.
        /// </summary>
        public Action<MagiClientOptions> BeforeOpen
        {
            get { return beforeOpen; }
            set
            {
                reopen = reopen || (Misses() && isActiveAndEnabled);
                beforeOpen = value;
                hasBeforeOpen = value != null;
            }
        }

        /// <summary>Another server, from the next Update on.</summary>
        public string Address
        {
            get { return address; }
            set { address = value; MarkChanged(); }
        }

        /// <summary>Empty: the next port. "none": frames only. From the next Update on.</summary>
        public string ControlAddress
        {
            get { return controlAddress; }
            set { controlAddress = value; MarkChanged(); }
        }

        /// <summary>A picture made here instead of a server's, from the next Update on.</summary>
        public bool Dummy
        {
            get { return dummy; }
            set { dummy = value; MarkChanged(); }
        }

        void OnEnable()
        {
            // Not in Awake: after a domain reload in play mode only OnEnable is called again.
            Open();
        }

        void OnDisable()
        {
            Close();
        }

        void OnValidate()
        {
            targetsChanged = true;
            MarkChanged();
        }

        void Update()
        {
            if (reopen)
            {
                reopen = false;
                try
                {
                    Close();
                }
                finally
                {
                    // A listener that heard of the end may have thrown, disabled this component, or opened it again.
                    if (isActiveAndEnabled && client == null)
                        Open();
                }
            }
            if (targetsChanged && picture.Texture != null)
                Attach();
            // Listeners may disable this component: look again after each of them.
            if (client != null)
                ShowNewest();
            if (client != null)
                LookAfterConnection();
            while (client != null && TellReceipt())
            {
            }
        }

        void Open()
        {
            Problem = "";
            trouble = "";
            reopen = false;
            opened = Settings();
            if (Misses())
            {
                Problem = "a reload of scripts has taken BeforeOpen away; set it again";
                Debug.LogWarning("magi_rt: " + Problem, this);
                return;
            }
            try
            {
                MagiClientOptions options = Options();
                if (beforeOpen != null)
                    beforeOpen(options);
                // A texture of Unity begins with the lowermost row: the server sends it so.
                options.Rows = MagiRows.Bottom;
                client = new MagiClient(options);
            }
            catch (Exception problem)
            {
                if (!(problem is MagiException) && !(problem is ArgumentException))
                    throw;
                Problem = problem.Message;
                Debug.LogError("magi_rt: " + problem.Message, this);
            }
        }

        void Close()
        {
            if (client != null)
                client.Dispose();
            client = null;
            targets.Detach();
            picture.Dispose();
            ShownSeq = 0;
            ShownChunk = 0;
            ShownPrompt = 0;
            TellConnection(false);
        }

        void ShowNewest()
        {
            MagiFrame frame;
            if (!client.TryAcquire(out frame))
                return;
            bool fresh;
            try
            {
                fresh = picture.Show(ref frame, filterMode);
                ShownSeq = frame.Seq;
                ShownChunk = frame.Chunk;
                ShownPrompt = frame.Prompt;
            }
            finally
            {
                frame.Dispose();
            }
            if (!fresh)
                return;
            Attach();
            onTexture.Invoke(picture.Texture);
        }

        void Attach()
        {
            targetsChanged = false;
            targets.Attach(picture.Texture, targetRenderer, textureProperty, targetImage);
        }

        // Asked for here instead of heard through the logger: no foreign thread ever runs managed code
        // in the editor, where it would stand in the way of a domain reload.
        void LookAfterConnection()
        {
            string before = trouble;
            MagiState state = client.GetState(ref trouble);
            if (!ReferenceEquals(before, trouble))
                Debug.LogWarning("magi_rt: " + trouble, this);
            TellConnection(state == MagiState.Connected);
        }

        void TellConnection(bool now)
        {
            if (now == connected)
                return;
            connected = now;
            onConnection.Invoke(now);
        }

        bool TellReceipt()
        {
            MagiReceipt receipt;
            if (!client.TryReceipt(out receipt))
                return false;
            if (receipt.Kind == MagiReceiptKind.Error)
                Debug.LogWarning("magi_rt: " + receipt, this);
            onReceipt.Invoke(receipt);
            return true;
        }

        // Without the keys that it fills in, a client would wait for ever and not know why.
        bool Misses()
        {
            return hasBeforeOpen && beforeOpen == null;
        }

        void MarkChanged()
        {
            // What was never open is asked no more: the engine validates it on the thread that loads it.
            reopen = reopen || (opened != null && isActiveAndEnabled && opened != Settings());
        }

        string Settings()
        {
            return string.Join("\n", new[]
            {
                address, controlAddress, format.ToString(), layout.ToString(), dummy.ToString(),
                dummyWidth.ToString(), dummyHeight.ToString(), dummyFps.ToString()
            });
        }

        MagiClientOptions Options()
        {
            MagiClientOptions options = new MagiClientOptions();
            options.Name = "unity";
            options.Frames = address;
            options.Control = controlAddress;
            options.Format = MagiPicture.Asked(format);
            options.Layout = layout;
            options.Dummy = dummy;
            options.DummyWidth = dummyWidth;
            options.DummyHeight = dummyHeight;
            options.DummyFps = dummyFps;
            return options;
        }
    }
}
