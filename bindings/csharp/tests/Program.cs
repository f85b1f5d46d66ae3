using System;

namespace MagiRt.Tests
{
    public static class Program
    {
        const string Usage = "header PATH_OF_magi_rt.h PATH_OF_SIZES | dummy | exit | probe | live FRAMES CONTROL";

        public static int Main(string[] arguments)
        {
            string which = arguments.Length > 0 ? arguments[0] : "";
            if (which == "header" && arguments.Length == 3)
            {
                HeaderTests.Read(arguments[1], arguments[2]);
                return Runner.Run(typeof(HeaderTests));
            }
            if (which == "dummy")
                return Runner.Run(typeof(DummyTests), typeof(LifetimeTests));
            if (which == "exit")
                return LifetimeTests.EndWhileAFrameIsRead();
            if (which == "probe")
                return Probe.Run();
            if (which == "live" && arguments.Length == 3)
            {
                LiveTests.Connect(arguments[1], arguments[2]);
                return Runner.Run(typeof(LiveTests));
            }
            Console.Error.WriteLine("usage: " + Usage);
            return 2;
        }
    }
}
