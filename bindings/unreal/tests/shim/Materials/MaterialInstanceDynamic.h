#pragma once

#include "Materials/MaterialInterface.h"

#include <map>

class UTexture;

class UMaterialInstanceDynamic : public UMaterialInterface
{
public:
	void SetTextureParameterValue(FName Parameter, UTexture* Value) { Textures[Parameter] = Value; }

	/** Shim only. */
	std::map<FName, UTexture*> Textures;
};
