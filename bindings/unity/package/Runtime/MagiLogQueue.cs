using System.Collections.Generic;
using UnityEngine;

namespace MagiRt
{
    /// <summary>Carries what the library's thread says over to the main thread, where the console is told.</summary>
    internal sealed class MagiLogQueue
    {
        const int Most = 64;

        struct Line
        {
            public MagiLogLevel Level;
            public string Text;
        }

        readonly Queue<Line> lines = new Queue<Line>();
        int lost;

        /// <summary>Any thread. What does not fit is counted and said at the next flush.</summary>
        public void Add(MagiLogLevel level, string text)
        {
            lock (lines)
            {
                if (lines.Count >= Most)
                {
                    lost++;
                    return;
                }
                Line line;
                line.Level = level;
                line.Text = text;
                lines.Enqueue(line);
            }
        }

        /// <summary>Main thread. Writes what has gathered to Unity's console.</summary>
        public void Flush(Object context)
        {
            Line line;
            while (TakeOne(out line))
            {
                string text = "magi_rt: " + line.Text;
                if (line.Level == MagiLogLevel.Error)
                    Debug.LogError(text, context);
                else if (line.Level == MagiLogLevel.Warning)
                    Debug.LogWarning(text, context);
                else
                    Debug.Log(text, context);
            }
        }

        bool TakeOne(out Line line)
        {
            lock (lines)
            {
                line = new Line();
                if (lines.Count > 0)
                {
                    line = lines.Dequeue();
                    return true;
                }
                if (lost == 0)
                    return false;
                line.Level = MagiLogLevel.Warning;
                line.Text = lost + " more lines came in one frame and are not shown";
                lost = 0;
                return true;
            }
        }
    }
}
