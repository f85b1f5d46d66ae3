using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Reflection;
using System.Threading;

namespace MagiRt.Tests
{
    /// <summary>A method that is a promise; its name is the sentence.</summary>
    [AttributeUsage(AttributeTargets.Method)]
    internal sealed class TestAttribute : Attribute
    {
    }

    internal sealed class Broken : Exception
    {
        public Broken(string message)
            : base(message)
        {
        }
    }

    internal static class Runner
    {
        /// <summary>Runs every test of the types; the number that failed.</summary>
        public static int Run(params Type[] suites)
        {
            int failed = 0;
            int ran = 0;
            foreach (Type suite in suites)
            {
                foreach (MethodInfo test in suite.GetMethods(BindingFlags.Static | BindingFlags.Public))
                {
                    if (!Attribute.IsDefined(test, typeof(TestAttribute)))
                        continue;
                    ran++;
                    if (!Passes(test))
                        failed++;
                }
            }
            Console.WriteLine(ran + " tests, " + failed + " failed");
            return ran == 0 ? 1 : failed;
        }

        static bool Passes(MethodInfo test)
        {
            string sentence = test.Name.Replace('_', ' ');
            try
            {
                test.Invoke(null, null);
                Console.WriteLine("ok   " + sentence);
                return true;
            }
            catch (TargetInvocationException wrapped)
            {
                Console.WriteLine("FAIL " + sentence + "\n     " + wrapped.InnerException);
                return false;
            }
        }
    }

    internal static class Expect
    {
        const double PatienceSeconds = 30;

        public static void True(bool holds, string what)
        {
            if (!holds)
                throw new Broken("not so: " + what);
        }

        public static void Equal<T>(T expected, T found, string what)
        {
            if (!EqualityComparer<T>.Default.Equals(expected, found))
                throw new Broken(what + ": expected " + expected + ", found " + found);
        }

        public static void Equal(byte[] expected, byte[] found, string what)
        {
            Equal(expected.Length, found.Length, what + ", length");
            for (int i = 0; i < expected.Length; i++)
                Equal(expected[i], found[i], what + ", byte " + i);
        }

        /// <summary>The exception, whose message must hold every one of the parts.</summary>
        public static E Throws<E>(Action action, params string[] parts) where E : Exception
        {
            try
            {
                action();
            }
            catch (E problem)
            {
                foreach (string part in parts)
                    True(problem.Message.Contains(part), "\"" + problem.Message + "\" holds \"" + part + "\"");
                return problem;
            }
            throw new Broken("no " + typeof(E).Name + " was thrown");
        }

        /// <summary>Waits until it is so, with much patience; fails when it never becomes so.</summary>
        public static void Soon(Func<bool> holds, string what)
        {
            Stopwatch watch = Stopwatch.StartNew();
            while (!holds())
            {
                if (watch.Elapsed.TotalSeconds > PatienceSeconds)
                    throw new Broken("waited in vain: " + what);
                Thread.Sleep(1);
            }
        }
    }
}
