#pragma once

#include "CoreMinimal.h"
#include "Components/ActorComponent.h"
#include "MagiTypes.h"
#include "MagiStreamComponent.generated.h"

class FMagiStream;
class UMaterialInstanceDynamic;
class UMaterialInterface;
class UMeshComponent;
class UTexture;
class UTexture2D;

DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(FMagiReceiptSignature, const FMagiReceipt&, Receipt);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(FMagiConnectionSignature, bool, bConnected);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(FMagiTextureSignature, UTexture2D*, Texture);

/**
 * Shows a running magi_rt world in a texture and sends prompts to it. Everything here happens on the
 * game thread and waits for nothing; pixels are handed to the render thread where they lie.
 */
UCLASS(ClassGroup = (magi_rt), meta = (BlueprintSpawnableComponent))
class MAGIRT_API UMagiStreamComponent : public UActorComponent
{
	GENERATED_BODY()

public:
	UMagiStreamComponent();

	/** Where the frames come from; as `magi-rt serve` prints it. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "magi_rt|Server")
	FString Address = TEXT("tcp://127.0.0.1:5590");

	/** Empty: the next port. "none": frames only. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "magi_rt|Server")
	FString ControlAddress;

	/** Auto: shared memory when the server runs on this machine. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "magi_rt|Server")
	EMagiLayout Layout = EMagiLayout::Auto;

	/** Connect when play begins; else call Open. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "magi_rt|Server")
	bool bOpenOnBeginPlay = true;

	/** Name of a texture parameter in the owner's first mesh material; empty: use OnTexture. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "magi_rt|Show")
	FName TextureParameter;

	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "magi_rt|Show", meta = (ClampMin = "0"))
	int32 MaterialSlot = 0;

	/** A moving picture made here: for work while no server runs. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "magi_rt|Without a server")
	bool bDummy = false;

	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "magi_rt|Without a server", meta = (ClampMin = "16", ClampMax = "16384"))
	int32 DummyWidth = 640;

	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "magi_rt|Without a server", meta = (ClampMin = "16", ClampMax = "16384"))
	int32 DummyHeight = 360;

	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "magi_rt|Without a server", meta = (ClampMin = "1", ClampMax = "240"))
	double DummyFps = 24.0;

	/** The newest picture; another object after a new size. Null before the first. */
	UPROPERTY(BlueprintReadOnly, Transient, Category = "magi_rt")
	TObjectPtr<UTexture2D> Texture;

	/** Number of the shown frame in the order of sending; 0 before the first. */
	UPROPERTY(BlueprintReadOnly, Transient, Category = "magi_rt")
	int64 ShownSeq = 0;

	/** The chunk that the shown frame is of, for RewindWorldTo. */
	UPROPERTY(BlueprintReadOnly, Transient, Category = "magi_rt")
	int64 ShownChunk = 0;

	/** The prompt that shaped the shown frame; 0 before the first. */
	UPROPERTY(BlueprintReadOnly, Transient, Category = "magi_rt")
	int64 ShownPrompt = 0;

	UPROPERTY(BlueprintReadOnly, Transient, Category = "magi_rt")
	bool bConnected = false;

	/** Why it could not be opened, as a sentence; empty when all is well. */
	UPROPERTY(BlueprintReadOnly, Transient, Category = "magi_rt")
	FString Problem;

	/** What came back about a request. */
	UPROPERTY(BlueprintAssignable, Category = "magi_rt")
	FMagiReceiptSignature OnReceipt;

	/** True: the server is heard. False: it is silent or gone. */
	UPROPERTY(BlueprintAssignable, Category = "magi_rt")
	FMagiConnectionSignature OnConnection;

	/** A new texture was made: assign it where the old one was. */
	UPROPERTY(BlueprintAssignable, Category = "magi_rt")
	FMagiTextureSignature OnTexture;

	/** Connects with the properties as they are now; false: Problem says why. */
	UFUNCTION(BlueprintCallable, Category = "magi_rt")
	bool Open();

	UFUNCTION(BlueprintCallable, Category = "magi_rt")
	void Close();

	/** CURVE keys for the next Open, 40 characters each, made by `magi-rt keys`. Never saved. */
	UFUNCTION(BlueprintCallable, Category = "magi_rt")
	void SetKeys(const FString& PublicKey, const FString& SecretKey, const FString& ServerKey);

	/** Says what happens from now on. Returns a number that receipts carry, 0 when refused here. */
	UFUNCTION(BlueprintCallable, Category = "magi_rt")
	int64 SendPrompt(const FString& Text, EMagiAt At = EMagiAt::Next, bool bFlush = false);

	/** Begins the world again with the same seed. */
	UFUNCTION(BlueprintCallable, Category = "magi_rt")
	int64 ResetWorld();

	/** Begins the world again; the seed must not be negative. */
	UFUNCTION(BlueprintCallable, Category = "magi_rt")
	int64 ResetWorldWithSeed(int64 Seed);

	/** Begins the world again under this prompt; empty: under none. A seed below 0: the same one. */
	UFUNCTION(BlueprintCallable, Category = "magi_rt")
	int64 ResetWorldWithPrompt(const FString& Text, int64 Seed = -1);

	/** Begins the world again from a whole PNG, JPEG or WebP file in memory. */
	UFUNCTION(BlueprintCallable, Category = "magi_rt")
	int64 SeedImage(const TArray<uint8>& File);

	/** The same under this prompt; empty: under none. A seed below 0: the same one. */
	UFUNCTION(BlueprintCallable, Category = "magi_rt")
	int64 SeedImageWithPrompt(const TArray<uint8>& File, const FString& Text, int64 Seed = -1);

	/** Takes back the last chunks. */
	UFUNCTION(BlueprintCallable, Category = "magi_rt")
	int64 RewindWorld(int32 Chunks = 1);

	/** Takes back all chunks from this number on, whatever is shown by then. */
	UFUNCTION(BlueprintCallable, Category = "magi_rt")
	int64 RewindWorldTo(int64 Chunk);

	/** Writes this moment into the server's snapshot folder; 1 .. 64 of A-Z a-z 0-9 _ -. */
	UFUNCTION(BlueprintCallable, Category = "magi_rt")
	int64 SnapshotWorld(const FString& SnapshotName);

	/** Goes on from a snapshot or a fork. */
	UFUNCTION(BlueprintCallable, Category = "magi_rt")
	int64 RestoreWorld(const FString& SnapshotName);

	/** Keeps this moment in the server's memory. */
	UFUNCTION(BlueprintCallable, Category = "magi_rt")
	int64 ForkWorld(const FString& ForkName);

	UFUNCTION(BlueprintCallable, Category = "magi_rt")
	int64 PauseWorld();

	UFUNCTION(BlueprintCallable, Category = "magi_rt")
	int64 ResumeWorld();

	/** 1 .. 240 frames per second, for everybody who watches. */
	UFUNCTION(BlueprintCallable, Category = "magi_rt")
	int64 SetFps(double Fps);

	/** Asks for the server's counters; they come in the receipt's Details. */
	UFUNCTION(BlueprintCallable, Category = "magi_rt")
	int64 RequestStats();

	UFUNCTION(BlueprintCallable, BlueprintPure, Category = "magi_rt")
	FMagiInfo GetInfo() const;

	virtual void BeginPlay() override;
	virtual void EndPlay(const EEndPlayReason::Type EndPlayReason) override;
	virtual void TickComponent(float DeltaTime, ELevelTick TickType, FActorComponentTickFunction* ThisTickFunction) override;

private:
	bool ShowNewest();
	bool MakeTexture(int32 Width, int32 Height);
	void ShowOnOwner();
	/** Puts back what was there before, unless the game has put something else there meanwhile. */
	void LeaveOwner();
	bool ShowsOurMaterial() const;
	bool ShowsOurTexture() const;
	void TellConnection(bool bNow);
	bool TellReceipt();

	/** Shared with render commands in flight, which keep the client open until they are done. */
	TSharedPtr<FMagiStream, ESPMode::ThreadSafe> Stream;

	UPROPERTY(Transient)
	TObjectPtr<UMeshComponent> ShownOn;

	UPROPERTY(Transient)
	TObjectPtr<UMaterialInstanceDynamic> ShownIn;

	UPROPERTY(Transient)
	TObjectPtr<UTexture> ShownTexture;

	UPROPERTY(Transient)
	TObjectPtr<UMaterialInterface> MaterialBefore;

	UPROPERTY(Transient)
	TObjectPtr<UTexture> TextureBefore;

	FName ShownParameter;
	int32 ShownSlot = 0;
	FString Keys[3];
};
