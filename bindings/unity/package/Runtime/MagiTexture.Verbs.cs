using System;
using UnityEngine;

namespace MagiRt
{
    // Verbs for buttons, input fields and UnityEvents, which want methods that return nothing. Code
    // that wants ids, seeds or prompts of its own kind uses Client.
    public partial class MagiTexture
    {
        /// <summary>Says what happens from now on, in the way set in the inspector.</summary>
        public void SendPrompt(string text)
        {
            Ask(open => open.SendPrompt(text, promptAt, promptFlush));
        }

        /// <summary>Sends the inspector's prompt.</summary>
        public void SendPromptField()
        {
            SendPrompt(prompt);
        }

        /// <summary>Begins the world again with the same seed.</summary>
        public void ResetWorld()
        {
            Ask(open => open.Reset());
        }

        /// <summary>Begins the world again with the same seed, under this prompt; empty: under none.</summary>
        public void ResetWorld(string text)
        {
            Ask(open => open.Reset(null, text));
        }

        /// <summary>Begins the world again from a picture. It must be readable (a setting of its import).</summary>
        public void SeedImage(Texture2D image)
        {
            SeedImage(image, null);
        }

        /// <summary>The same under this prompt; empty: under none, null: under the server's first one.</summary>
        public void SeedImage(Texture2D image, string text)
        {
            if (image == null)
            {
                Debug.LogWarning("magi_rt: no picture was given to begin from", this);
                return;
            }
            Ask(open => open.SeedImage(image.EncodeToPNG(), null, text)); // refuses textures without Read/Write
        }

        /// <summary>Goes back by some chunks.</summary>
        public void RewindWorld(int chunks)
        {
            Ask(open => open.Rewind(chunks));
        }

        /// <summary>Takes back all chunks from this number on (ShownChunk, a receipt's Chunk), whatever is shown by then.</summary>
        public void RewindWorldTo(ulong chunk)
        {
            Ask(open => open.RewindTo(chunk));
        }

        /// <summary>The same for UnityEvents, which know no larger numbers.</summary>
        public void RewindWorldTo(int chunk)
        {
            Ask(open => open.RewindTo(NumberOf(chunk)));
        }

        /// <summary>Writes this moment into the server's snapshot folder.</summary>
        public void Snapshot(string snapshotName)
        {
            Ask(open => open.Snapshot(snapshotName));
        }

        /// <summary>Goes on from a snapshot or a fork.</summary>
        public void Restore(string snapshotName)
        {
            Ask(open => open.Restore(snapshotName));
        }

        /// <summary>Keeps this moment in the server's memory.</summary>
        public void Fork(string forkName)
        {
            Ask(open => open.Fork(forkName));
        }

        public void PauseWorld()
        {
            Ask(open => open.Pause());
        }

        public void ResumeWorld()
        {
            Ask(open => open.Resume());
        }

        /// <summary>1 .. 240 frames per second, for everybody who watches.</summary>
        public void SetFps(float fps)
        {
            Ask(open => open.Set(fps));
        }

        static ulong NumberOf(int chunk)
        {
            if (chunk < 0)
                throw new ArgumentOutOfRangeException("chunk", chunk, "must be at least 0");
            return (ulong)chunk;
        }

        void Ask(Func<MagiClient, ulong> send)
        {
            if (client == null)
            {
                Debug.LogWarning("magi_rt: nothing is open; enable the component, and see its problem in the inspector", this);
                return;
            }
            try
            {
                send(client);
            }
            catch (MagiException problem)
            {
                Debug.LogWarning("magi_rt: " + problem.Message, this);
            }
            catch (ArgumentException problem)
            {
                Debug.LogWarning("magi_rt: " + problem.Message, this);
            }
        }
    }
}
