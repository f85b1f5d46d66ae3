#include "MagiStreamComponent.h"

#include "Components/MeshComponent.h"
#include "Engine/Texture2D.h"
#include "GameFramework/Actor.h"
#include "MagiStream.h"
#include "Materials/MaterialInstanceDynamic.h"
#include "Materials/MaterialInterface.h"
#include "TextureResource.h"

UMagiStreamComponent::UMagiStreamComponent()
{
	PrimaryComponentTick.bCanEverTick = true;
	PrimaryComponentTick.bTickEvenWhenPaused = true;
}

void UMagiStreamComponent::BeginPlay()
{
	Super::BeginPlay();
	if (bOpenOnBeginPlay)
	{
		Open();
	}
}

void UMagiStreamComponent::EndPlay(const EEndPlayReason::Type EndPlayReason)
{
	Close();
	if (Stream.IsValid())
	{
		// A listener that heard of the end has opened it again; nobody would close it any more.
		Close();
	}
	Super::EndPlay(EndPlayReason);
}

void UMagiStreamComponent::TickComponent(float DeltaTime, ELevelTick TickType, FActorComponentTickFunction* ThisTickFunction)
{
	Super::TickComponent(DeltaTime, TickType, ThisTickFunction);
	// Listeners may close the stream: look again after each of them.
	if (Stream.IsValid() && ShowNewest())
	{
		OnTexture.Broadcast(Texture);
	}
	if (Stream.IsValid())
	{
		TellConnection(Stream->Info().state == MAGI_STATE_CONNECTED);
	}
	while (Stream.IsValid() && TellReceipt())
	{
	}
}

bool UMagiStreamComponent::Open()
{
	Close();
	FMagiSettings Settings;
	Settings.Frames = Address;
	Settings.Control = ControlAddress;
	Settings.PublicKey = Keys[0];
	Settings.SecretKey = Keys[1];
	Settings.ServerKey = Keys[2];
	Settings.Layout = Layout;
	Settings.bDummy = bDummy;
	Settings.DummyWidth = DummyWidth;
	Settings.DummyHeight = DummyHeight;
	Settings.DummyFps = DummyFps;
	Problem.Empty();
	Stream = FMagiStream::Open(Settings, Problem);
	if (!Stream.IsValid())
	{
		UE_LOG(LogMagiRt, Error, TEXT("cannot open %s: %s"), *Address, *Problem);
	}
	return Stream.IsValid();
}

void UMagiStreamComponent::Close()
{
	// The client itself ends when the render thread has given back the last frame.
	Stream.Reset();
	LeaveOwner();
	Texture = nullptr;
	ShownSeq = 0;
	ShownChunk = 0;
	ShownPrompt = 0;
	TellConnection(false);
}

void UMagiStreamComponent::SetKeys(const FString& PublicKey, const FString& SecretKey, const FString& ServerKey)
{
	Keys[0] = PublicKey;
	Keys[1] = SecretKey;
	Keys[2] = ServerKey;
}

FMagiInfo UMagiStreamComponent::GetInfo() const
{
	FMagiInfo Out;
	if (!Stream.IsValid())
	{
		Out.Trouble = Problem;
		return Out;
	}
	const magi_client_info Info = Stream->Info();
	Out.State = static_cast<EMagiState>(Info.state);
	Out.Layout = static_cast<EMagiLayout>(Info.layout);
	Out.bPaused = Info.paused != 0;
	Out.Width = static_cast<int32>(Info.width);
	Out.Height = static_cast<int32>(Info.height);
	Out.Fps = Info.fps;
	Out.DelayChunks = static_cast<int32>(Info.delay_chunks);
	Out.Server = UTF8_TO_TCHAR(Info.server);
	Out.Model = UTF8_TO_TCHAR(Info.model);
	Out.Trouble = UTF8_TO_TCHAR(Info.trouble);
	return Out;
}

/** Hands the newest frame to the render thread; true when a new texture was made for it. */
bool UMagiStreamComponent::ShowNewest()
{
	// Without a resource an update would be dropped: leave the frame where it is for now.
	if (Texture != nullptr && Texture->GetResource() == nullptr)
	{
		return false;
	}
	const TSharedPtr<FMagiLentFrame, ESPMode::ThreadSafe> Lent = Stream->Acquire();
	if (!Lent.IsValid())
	{
		return false;
	}
	const magi_frame& Frame = Lent->Frame;
	const bool bFresh = MakeTexture(static_cast<int32>(Frame.width), static_cast<int32>(Frame.height));
	if (Texture == nullptr || Texture->GetResource() == nullptr)
	{
		return false;
	}
	ShownSeq = static_cast<int64>(Frame.seq);
	ShownChunk = static_cast<int64>(Frame.chunk);
	ShownPrompt = static_cast<int64>(Frame.prompt);
	constexpr uint32 BytesPerPixel = 4;
	// The render thread only reads; its interface has no const. The function below does nothing but
	// hold the frame: it goes, and is given back, when the update is done or dropped.
	Texture->UpdateTextureRegions(
		0, 1, &Lent->Region, Frame.stride, BytesPerPixel, const_cast<uint8*>(Frame.pixels),
		[Lent](uint8*, const FUpdateTextureRegion2D*) {});
	return bFresh;
}

bool UMagiStreamComponent::MakeTexture(int32 Width, int32 Height)
{
	if (Texture != nullptr && Texture->GetSizeX() == Width && Texture->GetSizeY() == Height)
	{
		return false;
	}
	Texture = UTexture2D::CreateTransient(Width, Height, PF_B8G8R8A8);
	if (Texture == nullptr)
	{
		UE_LOG(LogMagiRt, Error, TEXT("no texture of %d x %d pixels could be made"), Width, Height);
		return false;
	}
	Texture->SRGB = true;
	Texture->NeverStream = true;
	Texture->Filter = TF_Bilinear;
	Texture->AddressX = TA_Clamp;
	Texture->AddressY = TA_Clamp;
	Texture->UpdateResource();
	ShowOnOwner();
	return true;
}

void UMagiStreamComponent::ShowOnOwner()
{
	const AActor* Owner = GetOwner();
	UMeshComponent* Mesh = Owner != nullptr ? Owner->FindComponentByClass<UMeshComponent>() : nullptr;
	if (Mesh != nullptr && Mesh == ShownOn && MaterialSlot == ShownSlot && TextureParameter == ShownParameter)
	{
		// Of another size. What the game has put there in its place stays.
		if (ShowsOurMaterial() && ShowsOurTexture())
		{
			ShownIn->SetTextureParameterValue(ShownParameter, Texture);
			ShownTexture = Texture.Get();
		}
		return;
	}
	LeaveOwner();
	if (TextureParameter.IsNone() || Mesh == nullptr)
	{
		return;
	}
	UMaterialInterface* Before = Mesh->GetMaterial(MaterialSlot);
	// One that is there already is the game's, which goes on turning its other parameters.
	UMaterialInstanceDynamic* Material = Cast<UMaterialInstanceDynamic>(Before);
	if (Material == nullptr)
	{
		Material = Mesh->CreateDynamicMaterialInstance(MaterialSlot);
	}
	if (Material == nullptr)
	{
		UE_LOG(LogMagiRt, Warning, TEXT("material slot %d of the owner's mesh is empty"), MaterialSlot);
		return;
	}
	ShownOn = Mesh;
	ShownSlot = MaterialSlot;
	ShownIn = Material;
	ShownParameter = TextureParameter;
	MaterialBefore = Before;
	TextureBefore = Material->K2_GetTextureParameterValue(TextureParameter);
	Material->SetTextureParameterValue(TextureParameter, Texture);
	ShownTexture = Texture.Get();
}

bool UMagiStreamComponent::ShowsOurMaterial() const
{
	return IsValid(ShownOn) && IsValid(ShownIn) && ShownOn->GetMaterial(ShownSlot) == ShownIn;
}

bool UMagiStreamComponent::ShowsOurTexture() const
{
	return IsValid(ShownIn) && ShownIn->K2_GetTextureParameterValue(ShownParameter) == ShownTexture;
}

void UMagiStreamComponent::LeaveOwner()
{
	const bool bOurMaterial = ShowsOurMaterial();
	if (ShowsOurTexture())
	{
		ShownIn->SetTextureParameterValue(ShownParameter, TextureBefore);
	}
	if (bOurMaterial)
	{
		ShownOn->SetMaterial(ShownSlot, MaterialBefore);
	}
	ShownOn = nullptr;
	ShownIn = nullptr;
	MaterialBefore = nullptr;
	TextureBefore = nullptr;
	ShownTexture = nullptr;
}

void UMagiStreamComponent::TellConnection(bool bNow)
{
	if (bNow != bConnected)
	{
		bConnected = bNow;
		OnConnection.Broadcast(bNow);
	}
}

bool UMagiStreamComponent::TellReceipt()
{
	FMagiReceipt Receipt;
	if (!Stream->PollReceipt(Receipt))
	{
		return false;
	}
	if (Receipt.Kind == EMagiReceiptKind::Error)
	{
		UE_LOG(LogMagiRt, Warning, TEXT("request %lld: %s"), Receipt.Request, *Receipt.Message);
	}
	OnReceipt.Broadcast(Receipt);
	return true;
}
