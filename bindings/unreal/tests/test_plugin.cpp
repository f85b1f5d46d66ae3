// The plugin's life in the engine, played on the shim:
//
//     test_plugin PLUGIN_FOLDER                     on the library's dummy mode
//     test_plugin PLUGIN_FOLDER FRAMES CONTROL      against a running server
#include "Engine/Texture2D.h"
#include "GameFramework/Actor.h"
#include "Components/MeshComponent.h"
#include "Interfaces/IPluginManager.h"
#include "MagiLibrary.h"
#include "MagiStreamComponent.h"
#include "Materials/MaterialInstanceDynamic.h"
#include "Modules/ModuleManager.h"
#include "RenderingThread.h"
#include "TextureResource.h"
#include "WeatherComponent.h"

#include <chrono>
#include <dlfcn.h>
#include <map>
#include <thread>

#define CHECK(expression) \
	do \
	{ \
		if (!(expression)) \
		{ \
			std::fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #expression); \
			std::exit(1); \
		} \
	} while (false)

#define RUN(Test) \
	do \
	{ \
		std::printf("%s\n", #Test); \
		std::fflush(stdout); \
		Test(); \
		FlushRenderingCommands(); \
		CHECK(FMagiLibrary::OpenClients == 0); \
	} while (false)

namespace
{
	constexpr int32 Width = 48;
	constexpr int32 Height = 20;
	FString Frames;
	FString Control;

	/** A component in play, as the engine's world would hold and tick it. */
	class FPlayed
	{
	public:
		explicit FPlayed(const std::function<void(UMagiStreamComponent&)>& Prepare = nullptr)
		{
			Component.ShimOwner = &Actor;
			Actor.Components = {&Mesh, &Component};
			Component.bDummy = Frames.IsEmpty();
			Component.DummyWidth = Width;
			Component.DummyHeight = Height;
			Component.DummyFps = 120;
			if (!Frames.IsEmpty())
			{
				Component.Address = Frames;
				Component.ControlAddress = Control;
			}
			Component.OnReceipt.Listen([this](const FMagiReceipt& Receipt) { Receipts.push_back(Receipt); });
			if (Prepare)
			{
				Prepare(Component);
			}
			Component.BeginPlay();
		}

		~FPlayed()
		{
			Component.EndPlay(EEndPlayReason::Quit);
		}

		void Tick()
		{
			Component.TickComponent(0.008f, LEVELTICK_All, &Component.PrimaryComponentTick);
		}

		/** Ticks until it is true, for twenty seconds at most. */
		template <typename T>
		bool Soon(T IsTrue)
		{
			const auto End = std::chrono::steady_clock::now() + std::chrono::seconds(20);
			while (std::chrono::steady_clock::now() < End)
			{
				Tick();
				if (IsTrue())
				{
					return true;
				}
				std::this_thread::sleep_for(std::chrono::milliseconds(1));
			}
			return false;
		}

		bool SoonShown()
		{
			return Soon([this] { return Component.ShownSeq > 0; });
		}

		const FMagiReceipt* Find(int64 Request, EMagiReceiptKind Kind) const
		{
			for (const FMagiReceipt& Receipt : Receipts)
			{
				if (Receipt.Request == Request && Receipt.Kind == Kind)
				{
					return &Receipt;
				}
			}
			return nullptr;
		}

		UMeshComponent Mesh;
		AActor Actor;
		UMagiStreamComponent Component;
		std::vector<FMagiReceipt> Receipts;
	};

	std::vector<uint8> OnGpu(const UMagiStreamComponent& Component)
	{
		FlushRenderingCommands();
		return Component.Texture->GetResource()->Pixels;
	}

	/** A client of its own that takes every frame in RGBA, uppermost row first, by number. */
	class FWitness
	{
	public:
		FWitness()
		{
			const FTCHARToUTF8 FramesText(*Frames);
			const FTCHARToUTF8 ControlText(*Control);
			magi_client_desc Desc = {};
			Desc.struct_size = sizeof(Desc);
			Desc.format = MAGI_FORMAT_RGBA8;
			Desc.rows = MAGI_ROWS_TOP;
			Desc.layout = MAGI_LAYOUT_PARTS;
			Desc.keep = MAGI_KEEP_EVERY;
			Desc.queue_frames = 64;
			Desc.dummy = Frames.IsEmpty() ? 1 : 0;
			Desc.dummy_width = Width;
			Desc.dummy_height = Height;
			Desc.dummy_fps = 120;
			Desc.frames = Frames.IsEmpty() ? nullptr : FramesText.Get();
			Desc.control = Frames.IsEmpty() ? nullptr : ControlText.Get();
			CHECK(FMagiLibrary::Get()->Open(&Desc, &Client) == MAGI_OK);
		}

		~FWitness()
		{
			FMagiLibrary::Get()->Close(Client);
		}

		void Look()
		{
			magi_frame Frame = {};
			Frame.struct_size = sizeof(Frame);
			while (FMagiLibrary::Get()->AcquireFrame(Client, &Frame) == MAGI_OK)
			{
				CHECK(Frame.stride == Frame.width * 4);
				Seen[static_cast<int64>(Frame.seq)].assign(Frame.pixels, Frame.pixels + Frame.size);
				FMagiLibrary::Get()->ReleaseFrame(Client, Frame.lease);
			}
		}

		bool Knows(int64 Seq) const
		{
			return Seen.count(Seq) > 0;
		}

		/** As Unreal wants them: blue first. */
		std::vector<uint8> Bgra(int64 Seq) const
		{
			std::vector<uint8> Pixels = Seen.at(Seq);
			for (size_t At = 0; At < Pixels.size(); At += 4)
			{
				std::swap(Pixels[At], Pixels[At + 2]);
			}
			return Pixels;
		}

	private:
		magi_client Client = {};
		std::map<int64, std::vector<uint8>> Seen;
	};

	void CompareWithWitness(EMagiLayout Layout)
	{
		FWitness Witness;
		FPlayed Played([=](UMagiStreamComponent& Component) { Component.Layout = Layout; });
		std::map<int64, std::vector<uint8>> Shown;
		int Compared = 0;
		CHECK(Played.Soon([&] {
			Witness.Look();
			if (Played.Component.ShownSeq > 0)
			{
				Shown[Played.Component.ShownSeq] = OnGpu(Played.Component);
			}
			for (auto At = Shown.begin(); At != Shown.end();)
			{
				if (!Witness.Knows(At->first))
				{
					++At;
					continue;
				}
				CHECK(At->second == Witness.Bgra(At->first));
				Compared++;
				At = Shown.erase(At);
			}
			return Compared >= 5;
		}));
		CHECK(Layout == EMagiLayout::Auto || Played.Component.GetInfo().Layout == Layout);
	}

	void the_pixels_of_a_frame_reach_the_texture_blue_first_and_uppermost_row_first()
	{
		CompareWithWitness(EMagiLayout::Auto);
	}

	void the_texture_is_srgb_and_is_told_once()
	{
		std::vector<UTexture2D*> Told;
		FPlayed Played([&](UMagiStreamComponent& Component) {
			Component.OnTexture.Listen([&](UTexture2D* Texture) { Told.push_back(Texture); });
		});
		CHECK(Played.Component.Texture == nullptr);
		CHECK(Played.SoonShown());
		const int64 First = Played.Component.ShownSeq;
		CHECK(Played.Soon([&] { return Played.Component.ShownSeq > First + 3; }));
		const UTexture2D* Texture = Played.Component.Texture;
		CHECK(Texture->SRGB && Texture->NeverStream && Texture->Filter == TF_Bilinear);
		CHECK(Texture->AddressX == TA_Clamp && Texture->AddressY == TA_Clamp);
		CHECK(Texture->GetSizeX() == Width && Texture->GetSizeY() == Height);
		CHECK(Told.size() == 1 && Told[0] == Texture);
	}

	void a_new_size_makes_a_new_texture()
	{
		FPlayed Played;
		CHECK(Played.SoonShown());
		const UTexture2D* Before = Played.Component.Texture;
		Played.Component.DummyWidth = 2 * Width;
		CHECK(Played.Component.Open());
		CHECK(Played.SoonShown());
		CHECK(Played.Component.Texture != Before && Played.Component.Texture->GetSizeX() == 2 * Width);
	}

	void the_owners_material_shows_it_and_is_as_before_afterwards()
	{
		UMaterialInterface Usual;
		UMaterialInterface Other;
		FPlayed Played([&](UMagiStreamComponent& Component) {
			Component.GetOwner()->FindComponentByClass<UMeshComponent>()->Materials = {&Other, &Usual};
			Component.TextureParameter = TEXT("Screen");
			Component.MaterialSlot = 1;
		});
		CHECK(Played.SoonShown());
		const auto* Shown = dynamic_cast<UMaterialInstanceDynamic*>(Played.Mesh.GetMaterial(1));
		CHECK(Shown != nullptr && Shown->Textures.at(TEXT("Screen")) == Played.Component.Texture);
		Played.Component.Close();
		CHECK(Played.Mesh.GetMaterial(0) == &Other && Played.Mesh.GetMaterial(1) == &Usual);
	}

	void a_dynamic_material_that_the_owner_has_already_is_used_and_gets_its_texture_back()
	{
		UMaterialInstanceDynamic Own;
		UTexture2D Usual;
		Own.SetTextureParameterValue(TEXT("Screen"), &Usual);
		FPlayed Played([&](UMagiStreamComponent& Component) {
			Component.GetOwner()->FindComponentByClass<UMeshComponent>()->Materials = {&Own};
			Component.TextureParameter = TEXT("Screen");
		});
		for (const int32 Wide : {32, 64})
		{
			Played.Component.DummyWidth = Wide;
			CHECK(Played.Component.Open() && Played.SoonShown());
			CHECK(Played.Mesh.GetMaterial(0) == &Own);
			CHECK(Own.Textures.at(TEXT("Screen")) == Played.Component.Texture);
		}
		Played.Component.TextureParameter = TEXT("Another");
		Played.Component.Close();
		CHECK(Played.Mesh.GetMaterial(0) == &Own && Own.Textures.at(TEXT("Screen")) == &Usual);
		CHECK(Own.Textures.size() == 1);
	}

	void what_the_game_puts_there_meanwhile_stays()
	{
		UMaterialInterface Usual;
		UMaterialInterface Broken;
		UMaterialInstanceDynamic Own;
		UTexture2D Static;
		FPlayed Played([&](UMagiStreamComponent& Component) {
			Component.GetOwner()->FindComponentByClass<UMeshComponent>()->Materials = {&Usual};
			Component.TextureParameter = TEXT("Screen");
		});
		CHECK(Played.SoonShown());
		Played.Mesh.SetMaterial(0, &Broken);
		Played.Component.Close();
		CHECK(Played.Mesh.GetMaterial(0) == &Broken);
		Played.Mesh.SetMaterial(0, &Own);
		CHECK(Played.Component.Open() && Played.SoonShown());
		Own.SetTextureParameterValue(TEXT("Screen"), &Static);
		Played.Component.Close();
		CHECK(Played.Mesh.GetMaterial(0) == &Own && Own.Textures.at(TEXT("Screen")) == &Static);
	}

	void a_material_slot_that_is_empty_stops_nothing()
	{
		FPlayed Played([](UMagiStreamComponent& Component) { Component.TextureParameter = TEXT("Screen"); });
		CHECK(Played.SoonShown());
	}

	void a_render_thread_that_hangs_holds_three_frames_and_the_game_goes_on()
	{
		FPlayed Played;
		CHECK(Played.SoonShown());
		FlushRenderingCommands();
		Shim::StallRendering();
		CHECK(Played.Soon([] { return Shim::RenderCommandsWaiting() == 3; }));
		for (int Tick = 0; Tick < 50; Tick++)
		{
			Played.Tick();
			std::this_thread::sleep_for(std::chrono::milliseconds(1));
		}
		CHECK(Shim::RenderCommandsWaiting() == 3);
		const int64 Held = Played.Component.ShownSeq;
		Shim::ResumeRendering();
		FlushRenderingCommands();
		CHECK(Played.Soon([&] { return Played.Component.ShownSeq > Held + 3; }));
	}

	void a_client_outlives_its_component_until_the_last_frame_is_drawn()
	{
		{
			FPlayed Played;
			CHECK(Played.SoonShown());
			FlushRenderingCommands();
			Shim::StallRendering();
			CHECK(Played.Soon([] { return Shim::RenderCommandsWaiting() == 2; }));
		}
		CHECK(FMagiLibrary::OpenClients == 1);
		FMagiLibrary::Unload();
		CHECK(FMagiLibrary::Get() != nullptr); // its code still runs
		Shim::ResumeRendering();
		FlushRenderingCommands();
		CHECK(FMagiLibrary::OpenClients == 0);
	}

	void without_a_resource_frames_stay_where_they_are()
	{
		UTexture2D::bMakeResources = false;
		FPlayed Played;
		CHECK(Played.Soon([&] { return Played.Component.Texture != nullptr; }));
		for (int Tick = 0; Tick < 50; Tick++)
		{
			Played.Tick();
			std::this_thread::sleep_for(std::chrono::milliseconds(1));
		}
		CHECK(Played.Component.ShownSeq == 0);
		UTexture2D::bMakeResources = true;
		Played.Component.Texture->UpdateResource();
		CHECK(Played.SoonShown());
	}

	void it_survives_many_plays()
	{
		// The library refuses a 65th client that is open at one time.
		for (int Play = 0; Play < 70; Play++)
		{
			FPlayed Played;
			CHECK(Played.Component.Problem.IsEmpty());
			Played.Tick();
		}
	}

	void connection_is_told_when_it_changes()
	{
		std::vector<bool> Told;
		FPlayed Played([&](UMagiStreamComponent& Component) {
			Component.OnConnection.Listen([&](bool bNow) { Told.push_back(bNow); });
		});
		CHECK(Played.Soon([&] { return Played.Component.bConnected; }));
		CHECK(Played.Component.GetInfo().State == EMagiState::Connected);
		Played.Component.Close();
		CHECK((Told == std::vector<bool>{true, false}));
	}

	void a_prompt_is_accepted_then_applied_and_shown()
	{
		FPlayed Played;
		CHECK(Played.SoonShown());
		const int64 Id = Played.Component.SendPrompt(TEXT("night falls, \u00e4\u4e2d"), EMagiAt::Now, true);
		CHECK(Id > 0);
		CHECK(Played.Soon([&] { return Played.Find(Id, EMagiReceiptKind::Applied) != nullptr; }));
		CHECK(Played.Receipts[0].Kind == EMagiReceiptKind::Accepted && Played.Receipts[0].Type == EMagiRequestType::Prompt);
		const FMagiReceipt Applied = *Played.Find(Id, EMagiReceiptKind::Applied);
		CHECK(Applied.Prompt > 0 && Applied.Seq > 0 && Applied.Epoch > 0);
		CHECK(Played.Soon([&] { return Played.Component.ShownPrompt == Applied.Prompt; }));
		CHECK(Played.Component.ShownSeq >= Applied.Seq);
	}

	void every_verb_is_answered()
	{
		FPlayed Played;
		UMagiStreamComponent& Component = Played.Component;
		CHECK(Played.Soon([&] { return Component.ShownSeq > 60; }));
		const std::vector<std::function<int64()>> Verbs = {
			[&] { return Component.ForkWorld(TEXT("here")); },
			[&] { return Component.SnapshotWorld(TEXT("kept")); },
			[&] { return Component.RestoreWorld(TEXT("here")); },
			[&] { return Component.RewindWorld(1); },
			[&] { return Component.PauseWorld(); },
			[&] { return Component.ResumeWorld(); },
			[&] { return Component.SetFps(60); },
			[&] { return Component.RequestStats(); },
			[&] { return Component.ResetWorldWithSeed(5); },
			[&] { return Component.ResetWorld(); },
		};
		for (const auto& Verb : Verbs)
		{
			const int64 Id = Verb();
			CHECK(Id > 0);
			CHECK(Played.Soon([&] { return Played.Find(Id, EMagiReceiptKind::Accepted) != nullptr; }));
		}
	}

	void the_world_begins_under_a_prompt_and_goes_back_to_a_chunk()
	{
		FPlayed Played;
		UMagiStreamComponent& Component = Played.Component;
		const auto Done = [&](int64 Id, EMagiReceiptKind Kind) {
			CHECK(Id > 0);
			CHECK(Played.Soon([&] { return Played.Find(Id, Kind) != nullptr; }));
			return *Played.Find(Id, Kind);
		};
		CHECK(Played.SoonShown());
		Done(Component.PauseWorld(), EMagiReceiptKind::Accepted);
		const FMagiReceipt Begun = Done(Component.ResetWorldWithPrompt(TEXT("night falls"), 7), EMagiReceiptKind::Applied);
		CHECK(Begun.Chunk == 0);
		CHECK(Played.Soon([&] { return Component.ShownSeq >= Begun.Seq; }));
		CHECK(Component.ShownPrompt > 0 && Component.ShownChunk == 0);
		CHECK(Done(Component.RewindWorldTo(1), EMagiReceiptKind::Error).Code == EMagiCode::Refused);
		const FMagiReceipt Back = Done(Component.RewindWorldTo(0), EMagiReceiptKind::Applied);
		CHECK(Back.Chunk == 0 && Back.Epoch > Begun.Epoch);
		Done(Component.ResumeWorld(), EMagiReceiptKind::Accepted);
		CHECK(Played.Soon([&] { return Component.ShownChunk > 0; }));
		if (Frames.IsEmpty())
		{
			// Dummy mode takes any bytes for a picture.
			const FMagiReceipt Pictured = Done(Component.SeedImageWithPrompt({1}, TEXT("")), EMagiReceiptKind::Applied);
			CHECK(Played.Soon([&] { return Component.ShownSeq >= Pictured.Seq; }));
			CHECK(Component.ShownPrompt == 0);
		}
	}

	void what_cannot_be_done_is_said()
	{
		FPlayed Played;
		UMagiStreamComponent& Component = Played.Component;
		CHECK(Component.RewindWorld(0) == 0);
		CHECK(Component.RewindWorldTo(-1) == 0);
		CHECK(Component.ResetWorldWithSeed(-1) == 0);
		CHECK(Component.SnapshotWorld(TEXT("../outside")) == 0);
		CHECK(Component.SeedImage({}) == 0);
		CHECK(Component.SeedImageWithPrompt({}, TEXT("night falls")) == 0);
		CHECK(Component.SetFps(1000) == 0);
		const int64 Id = Component.RestoreWorld(TEXT("nothing"));
		CHECK(Played.Soon([&] { return Played.Find(Id, EMagiReceiptKind::Error) != nullptr; }));
		const FMagiReceipt* Refused = Played.Find(Id, EMagiReceiptKind::Error);
		CHECK(Refused->Code == EMagiCode::NotFound && !Refused->Message.IsEmpty());
		Component.Close();
		CHECK(Component.SendPrompt(TEXT("nobody hears")) == 0);
		Component.Address = TEXT("nonsense");
		Component.bDummy = false;
		CHECK(!Component.Open() && !Component.Problem.IsEmpty());
		CHECK(Component.GetInfo().Trouble == Component.Problem);
	}

	void a_listener_may_close_the_component()
	{
		for (int Which = 0; Which < 3; Which++)
		{
			int Told = 0;
			FPlayed Played([&](UMagiStreamComponent& Component) {
				const auto Close = [&, Which](int Listener) {
					if (Listener == Which)
					{
						Told++;
						Component.Close();
					}
				};
				Component.OnTexture.Listen([=](UTexture2D*) { Close(0); });
				Component.OnConnection.Listen([=](bool bNow) { Close(bNow ? 1 : -1); });
				Component.OnReceipt.Listen([=](const FMagiReceipt&) { Close(2); });
			});
			CHECK(Played.Component.SendPrompt(TEXT("rain")) > 0);
			CHECK(Played.Soon([&] { return Told == 1; }));
			CHECK(Played.Component.Texture == nullptr);
		}
	}

	void a_listener_that_opens_it_again_opens_nothing_behind_the_end_of_play()
	{
		FPlayed Played([](UMagiStreamComponent& Component) {
			Component.OnConnection.Listen([&Component](bool bNow) {
				if (!bNow)
				{
					Component.Open();
				}
			});
		});
		CHECK(Played.Soon([&] { return Played.Component.bConnected; }));
		Played.Component.EndPlay(EEndPlayReason::RemovedFromWorld);
		FlushRenderingCommands();
		CHECK(FMagiLibrary::OpenClients == 0);
	}

	void the_weather_of_the_example_changes()
	{
		FPlayed Played;
		UWeatherComponent Weather;
		Weather.ShimOwner = &Played.Actor;
		Weather.BeginPlay();
		CHECK(Played.Soon([&] {
			Weather.TickComponent(0.5f, LEVELTICK_All, &Weather.PrimaryComponentTick);
			return Played.Component.ShownPrompt >= 2;
		}));
		Weather.EndPlay(EEndPlayReason::Quit);
	}

	void a_missing_library_is_a_sentence_and_not_a_crash()
	{
		const FString Right = IPlugin::Folder;
		FMagiLibrary::Unload();
		IPlugin::Folder = TEXT("/nowhere");
		FMagiLibrary::Load();
		{
			FPlayed Played;
			CHECK(Played.Component.Problem.Contains(TEXT("was not found")));
			CHECK(Played.Component.SendPrompt(TEXT("hello")) == 0);
			Played.Tick();
		}
		IPlugin::Folder = Right;
		FMagiLibrary::Load();
		CHECK(FMagiLibrary::Get() != nullptr);
	}

	void frames_of_a_server_are_right_over_the_socket_and_through_shared_memory()
	{
		CompareWithWitness(EMagiLayout::Parts);
		CompareWithWitness(EMagiLayout::Shared);
	}

	void PlayDummy()
	{
		RUN(the_pixels_of_a_frame_reach_the_texture_blue_first_and_uppermost_row_first);
		RUN(the_texture_is_srgb_and_is_told_once);
		RUN(a_new_size_makes_a_new_texture);
		RUN(the_owners_material_shows_it_and_is_as_before_afterwards);
		RUN(a_dynamic_material_that_the_owner_has_already_is_used_and_gets_its_texture_back);
		RUN(what_the_game_puts_there_meanwhile_stays);
		RUN(a_material_slot_that_is_empty_stops_nothing);
		RUN(a_render_thread_that_hangs_holds_three_frames_and_the_game_goes_on);
		RUN(a_client_outlives_its_component_until_the_last_frame_is_drawn);
		RUN(without_a_resource_frames_stay_where_they_are);
		RUN(it_survives_many_plays);
		RUN(connection_is_told_when_it_changes);
		RUN(a_prompt_is_accepted_then_applied_and_shown);
		RUN(every_verb_is_answered);
		RUN(the_world_begins_under_a_prompt_and_goes_back_to_a_chunk);
		RUN(what_cannot_be_done_is_said);
		RUN(a_listener_may_close_the_component);
		RUN(a_listener_that_opens_it_again_opens_nothing_behind_the_end_of_play);
		RUN(the_weather_of_the_example_changes);
		RUN(a_missing_library_is_a_sentence_and_not_a_crash);
	}

	void PlayLive()
	{
		RUN(frames_of_a_server_are_right_over_the_socket_and_through_shared_memory);
		RUN(a_prompt_is_accepted_then_applied_and_shown);
		RUN(every_verb_is_answered);
		RUN(the_world_begins_under_a_prompt_and_goes_back_to_a_chunk);
	}
}

int main(int Count, char** Arguments)
{
	if (Count != 2 && Count != 4)
	{
		std::fprintf(stderr, "test_plugin PLUGIN_FOLDER [FRAMES CONTROL]\n");
		return 2;
	}
	IPlugin::Folder = UTF8_TO_TCHAR(Arguments[1]);
	const std::unique_ptr<IModuleInterface> Module = Shim::MakeModule();
	Module->StartupModule();
	CHECK(FMagiLibrary::Get() != nullptr);
#if defined(__SANITIZE_THREAD__)
	// What its suppressions name may not be unloaded, as libzmq would be with the library.
	dlopen("libzmq.so.5", RTLD_NOW | RTLD_NODELETE);
#endif
	if (Count == 4)
	{
		Frames = UTF8_TO_TCHAR(Arguments[2]);
		Control = UTF8_TO_TCHAR(Arguments[3]);
		PlayLive();
	}
	else
	{
		PlayDummy();
	}
	Module->ShutdownModule();
	CHECK(FMagiLibrary::Get() == nullptr);
	std::printf("all passed\n");
	return 0;
}
