#pragma once

#include "Components/ActorComponent.h"
#include "Materials/MaterialInstanceDynamic.h"

class UMeshComponent : public UActorComponent
{
public:
	UMaterialInterface* GetMaterial(int32 Slot) const { return Slot < Materials.Num() ? Materials[Slot] : nullptr; }

	UMaterialInstanceDynamic* CreateDynamicMaterialInstance(int32 Slot)
	{
		if (GetMaterial(Slot) == nullptr)
		{
			return nullptr;
		}
		UMaterialInstanceDynamic* Made = Shim::New<UMaterialInstanceDynamic>();
		SetMaterial(Slot, Made);
		return Made;
	}

	void SetMaterial(int32 Slot, UMaterialInterface* Material)
	{
		TArray<UMaterialInterface*> Changed;
		for (int32 At = 0; At < FMath::Max(Materials.Num(), Slot + 1); At++)
		{
			Changed.Add(At == Slot ? Material : GetMaterial(At));
		}
		Materials = Changed;
	}

	/** Shim only. */
	TArray<UMaterialInterface*> Materials;
};
