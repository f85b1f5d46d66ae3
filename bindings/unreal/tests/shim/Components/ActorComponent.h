#pragma once

#include "UObjectShim.h"

class AActor;

namespace EEndPlayReason
{
	enum Type
	{
		Destroyed,
		LevelTransition,
		EndPlayInEditor,
		RemovedFromWorld,
		Quit
	};
}

enum ELevelTick
{
	LEVELTICK_All = 2
};

struct FActorComponentTickFunction
{
	bool bCanEverTick = false;
	bool bTickEvenWhenPaused = false;
};

class UActorComponent : public UObject
{
public:
	FActorComponentTickFunction PrimaryComponentTick;

	virtual void BeginPlay() { bBegun = true; }
	virtual void EndPlay(const EEndPlayReason::Type) { bBegun = false; }
	virtual void TickComponent(float, ELevelTick, FActorComponentTickFunction*) { check(bBegun); }
	AActor* GetOwner() const { return ShimOwner; }

	/** Shim only. */
	AActor* ShimOwner = nullptr;

private:
	bool bBegun = false;
};
