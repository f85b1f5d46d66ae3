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

        /// <summary>Begins the world again from a picture. It must be readable (a setting of its import).</summary>
        public void SeedImage(Texture2D image)
        {
            if (image == null)
            {
                Debug.LogWarning("magi_rt: no picture was given to begin from", this);
                return;
            }
            byte[] png = image.EncodeToPNG();
            Ask(open => open.SeedImage(png));
        }

        /// <summary>Goes back by some chunks.</summary>
        public void RewindWorld(int chunks)
        {
            Ask(open => open.Rewind(chunks));
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
