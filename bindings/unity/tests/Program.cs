namespace MagiRt.Tests
{
    public static class Program
    {
        public static int Main()
        {
            return Runner.Run(typeof(LifeCycleTests));
        }
    }
}
