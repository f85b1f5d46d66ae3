using System;
using System.Collections.Generic;
using System.IO;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;

namespace MagiRt.Tests
{
    /// <summary>The C# side against magi_rt.h and against what the C compiler makes of it.</summary>
    public static class HeaderTests
    {
        static string header;
        static Dictionary<string, int> sizes;

        static readonly Dictionary<string, Type> Structs = new Dictionary<string, Type>
        {
            { "magi_client", typeof(NativeId) },
            { "magi_lease", typeof(NativeId) },
            { "magi_client_desc", typeof(NativeDesc) },
            { "magi_frame", typeof(NativeFrame) },
            { "magi_client_info", typeof(NativeInfo) },
            { "magi_counters", typeof(MagiCounters) },
            { "magi_request", typeof(NativeRequest) },
            { "magi_receipt", typeof(NativeReceipt) }
        };

        public static void Read(string headerPath, string sizesPath)
        {
            header = File.ReadAllText(headerPath);
            sizes = new Dictionary<string, int>();
            foreach (string line in File.ReadAllLines(sizesPath))
            {
                string[] words = line.Split(' ');
                sizes[words[0]] = int.Parse(words[1]);
            }
        }

        [Test]
        public static void Every_struct_has_the_size_that_the_C_compiler_gives_it()
        {
            foreach (KeyValuePair<string, Type> one in Structs)
                Expect.Equal(sizes[one.Key], Marshal.SizeOf(one.Value), one.Key);
        }

        [Test]
        public static void Every_field_of_the_header_lies_where_the_C_compiler_puts_it()
        {
            int found = 0;
            foreach (Match body in Regex.Matches(Bare(header), @"typedef struct (\w+) \{(.*?)\} \w+;", RegexOptions.Singleline))
            {
                string type = body.Groups[1].Value;
                if (type == "magi_client" || type == "magi_lease")
                    continue;
                foreach (Match field in Regex.Matches(body.Groups[2].Value, @"(\w+)(\[\d+\])?;"))
                {
                    string name = field.Groups[1].Value;
                    int offset = Marshal.OffsetOf(Structs[type], Managed(type, name)).ToInt32();
                    Expect.Equal(sizes[type + "." + name], offset, type + "." + name);
                    found++;
                }
            }
            Expect.True(found > 90, found + " fields were found in the header");
        }

        [Test]
        public static void Every_constant_of_the_header_has_its_value_here_and_no_other_exists()
        {
            int enums = 0;
            foreach (Match body in Regex.Matches(Bare(header), @"typedef enum magi_(\w+) \{(.*?)\}", RegexOptions.Singleline))
            {
                Type type = typeof(MagiClient).Assembly.GetType("MagiRt.Magi" + Pascal(body.Groups[1].Value), true);
                string prefix = "MAGI_" + body.Groups[1].Value.ToUpperInvariant() + "_";
                int members = 0;
                foreach (Match member in Regex.Matches(body.Groups[2].Value, @"(MAGI_\w+) = (-?\w+)"))
                {
                    string name = member.Groups[1].Value;
                    if (name.EndsWith("_FORCE_32"))
                        continue;
                    name = Shortened(name, prefix);
                    Expect.Equal(int.Parse(member.Groups[2].Value), (int)Enum.Parse(type, Pascal(name.ToLowerInvariant())), name);
                    members++;
                }
                Expect.Equal(members, Enum.GetNames(type).Length, "members of " + type.Name);
                enums++;
            }
            Expect.True(enums >= 11, enums + " enums were found in the header");
        }

        [Test]
        public static void Every_function_of_the_header_can_be_called_or_is_a_shortcut_for_another()
        {
            HashSet<string> missing = new HashSet<string>();
            foreach (Match function in Regex.Matches(Bare(header), @"MAGI_API[^;(]*?\b(magi_\w+)\("))
            {
                if (typeof(Native).GetMethod(function.Groups[1].Value) == null)
                    missing.Add(function.Groups[1].Value);
            }
            // magi_client_send does the same.
            missing.Remove("magi_client_send_prompt");
            Expect.Equal("", string.Join(", ", new List<string>(missing).ToArray()), "functions without P/Invoke");
        }

        [Test]
        public static void The_ABI_number_is_that_of_the_header_and_of_the_library()
        {
            Match number = Regex.Match(header, @"#define MAGI_RT_ABI (\d+)");
            Expect.Equal(uint.Parse(number.Groups[1].Value), Native.Abi, "header");
            Expect.Equal(Native.magi_abi(), Native.Abi, "library");
        }

        [Test]
        public static void Another_ABI_is_refused_with_both_numbers()
        {
            Expect.Throws<MagiException>(() => Native.CompareAbi(7, 1), "ABI 7", "ABI 1");
        }

        static string Bare(string text)
        {
            return Regex.Replace(text, @"/\*.*?\*/", "", RegexOptions.Singleline);
        }

        static string Shortened(string name, string prefix)
        {
            if (name.StartsWith(prefix))
                return name.Substring(prefix.Length);
            // Those of some enums leave the enum's own name out, or say it in the plural.
            return Regex.Replace(name, "^MAGI_(AT_|LOG_|REQUEST_|RECEIPT_)?", "");
        }

        static string Managed(string type, string field)
        {
            if (type == "magi_client_info" && field == "control")
                return "ControlAnswered";
            return type == "magi_counters" && field == "reserved" ? field : Pascal(field);
        }

        static string Pascal(string name)
        {
            return Regex.Replace(name, @"(^|_)([a-z0-9])", match => match.Groups[2].Value.ToUpperInvariant());
        }
    }
}
