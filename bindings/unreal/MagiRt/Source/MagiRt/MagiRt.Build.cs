using System.IO;
using UnrealBuildTool;

public class MagiRt : ModuleRules
{
	public MagiRt(ReadOnlyTargetRules Target) : base(Target)
	{
		PCHUsage = PCHUsageMode.UseExplicitOrSharedPCHs;
		PublicDependencyModuleNames.AddRange(new string[] { "Core", "CoreUObject", "Engine" });
		PrivateDependencyModuleNames.AddRange(new string[] { "Projects", "RenderCore", "RHI" });

		string Native = Path.Combine(PluginDirectory, "ThirdParty", "magi_rt");
		PrivateIncludePaths.Add(HeaderFolder(Native));

		// The library is loaded by name when the module starts, so nothing is linked; it only has to
		// be carried along into packaged games, with whatever lies beside it (libzmq, msgpack-c).
		string Binaries = Path.Combine(Native, "bin", Target.Platform.ToString());
		if (Directory.Exists(Binaries))
		{
			foreach (string File in Directory.GetFiles(Binaries))
			{
				RuntimeDependencies.Add(File);
			}
		}
	}

	/// The copy inside the plugin, or, in a checkout of magi_rt, the header where it is written.
	string HeaderFolder(string Native)
	{
		string Copied = Path.Combine(Native, "include");
		string Checkout = Path.Combine(PluginDirectory, "..", "..", "c", "include");
		foreach (string Folder in new string[] { Copied, Checkout })
		{
			if (File.Exists(Path.Combine(Folder, "magi_rt.h")))
			{
				return Folder;
			}
		}
		throw new BuildException("magi_rt.h is missing: copy bindings/c/include/magi_rt.h to " + Copied);
	}
}
