#pragma once

#include "CoreMinimal.h"
#include "MagiTypes.generated.h"

/** How pixels travel. */
UENUM(BlueprintType)
enum class EMagiLayout : uint8
{
	/** Shared memory when the server is on this machine and offers it, else the socket. */
	Auto = 0,
	Parts = 1,
	Shared = 2
};

UENUM(BlueprintType)
enum class EMagiState : uint8
{
	/** Nothing heard yet. */
	Waiting = 0,
	Connected = 1,
	/** Was there, now silent; the client goes on listening. */
	Lost = 2,
	/** The server said bye; the client listens for the next one. */
	Ended = 3
};

/** When a prompt begins to count. */
UENUM(BlueprintType)
enum class EMagiAt : uint8
{
	/** From the next chunk on. */
	Next = 0,
	/** Also turns the chunks that are being made. */
	Now = 1
};

UENUM(BlueprintType)
enum class EMagiRequestType : uint8
{
	None = 0,
	Prompt = 1,
	Reset = 2,
	Image = 3,
	Rewind = 4,
	Snapshot = 5,
	Restore = 6,
	Fork = 7,
	Pause = 8,
	Resume = 9,
	Set = 10,
	Stats = 11
};

UENUM(BlueprintType)
enum class EMagiReceiptKind : uint8
{
	None = 0,
	/** Understood, and done or sure to be done. */
	Accepted = 1,
	/** The first frame that shows it has been sent. */
	Applied = 2,
	/** Not done; code and message say why. */
	Error = 3
};

/** Why a request was not done. */
UENUM(BlueprintType)
enum class EMagiCode : uint8
{
	None = 0,
	Malformed = 1,
	Version = 2,
	UnknownType = 3,
	Refused = 4,
	TooLarge = 5,
	NotFound = 6,
	Busy = 7,
	Superseded = 8,
	Failed = 9,
	Other = 99,
	/** Made by the client: no answer in time. */
	Timeout = 100,
	/** Made by the client: accepted by a server that has restarted since. */
	Restarted = 101
};

/** What came back about a request. */
USTRUCT(BlueprintType)
struct MAGIRT_API FMagiReceipt
{
	GENERATED_BODY()

	UPROPERTY(BlueprintReadOnly, Category = "magi_rt")
	EMagiReceiptKind Kind = EMagiReceiptKind::None;

	/** The number that sending returned. */
	UPROPERTY(BlueprintReadOnly, Category = "magi_rt")
	int64 Request = 0;

	UPROPERTY(BlueprintReadOnly, Category = "magi_rt")
	EMagiRequestType Type = EMagiRequestType::None;

	UPROPERTY(BlueprintReadOnly, Category = "magi_rt")
	EMagiCode Code = EMagiCode::None;

	UPROPERTY(BlueprintReadOnly, Category = "magi_rt")
	int64 Epoch = 0;

	/** Applied: the first frame that shows it; so are Frame and Chunk. */
	UPROPERTY(BlueprintReadOnly, Category = "magi_rt")
	int64 Seq = 0;

	UPROPERTY(BlueprintReadOnly, Category = "magi_rt")
	int64 Frame = 0;

	UPROPERTY(BlueprintReadOnly, Category = "magi_rt")
	int64 Chunk = 0;

	/** Prompts: the number that ShownPrompt will have. */
	UPROPERTY(BlueprintReadOnly, Category = "magi_rt")
	int64 Prompt = 0;

	/** Error: a sentence for people, else empty. */
	UPROPERTY(BlueprintReadOnly, Category = "magi_rt")
	FString Message;

	/** The answer's other keys as a JSON object. */
	UPROPERTY(BlueprintReadOnly, Category = "magi_rt")
	FString Details;
};

/** What is known about the connection and the world. */
USTRUCT(BlueprintType)
struct MAGIRT_API FMagiInfo
{
	GENERATED_BODY()

	UPROPERTY(BlueprintReadOnly, Category = "magi_rt")
	EMagiState State = EMagiState::Waiting;

	UPROPERTY(BlueprintReadOnly, Category = "magi_rt")
	EMagiLayout Layout = EMagiLayout::Auto;

	UPROPERTY(BlueprintReadOnly, Category = "magi_rt")
	bool bPaused = false;

	/** The world's picture in pixels; 0 until the server said it. */
	UPROPERTY(BlueprintReadOnly, Category = "magi_rt")
	int32 Width = 0;

	UPROPERTY(BlueprintReadOnly, Category = "magi_rt")
	int32 Height = 0;

	/** Frames per second asked of the world, 0 until known. */
	UPROPERTY(BlueprintReadOnly, Category = "magi_rt")
	double Fps = 0.0;

	/** Chunks that come out before a new prompt shows. */
	UPROPERTY(BlueprintReadOnly, Category = "magi_rt")
	int32 DelayChunks = 0;

	UPROPERTY(BlueprintReadOnly, Category = "magi_rt")
	FString Server;

	UPROPERTY(BlueprintReadOnly, Category = "magi_rt")
	FString Model;

	/** The last warning or error as a sentence; empty: none yet. */
	UPROPERTY(BlueprintReadOnly, Category = "magi_rt")
	FString Trouble;
};
