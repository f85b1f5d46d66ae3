#pragma once

#include "Materials/MaterialInterface.h"

#include <map>

class UTexture;

class UMaterialInstanceDynamic : public UMaterialInterface
{
public:
	/** No texture changes nothing: as in the engine. */
	void SetTextureParameterValue(FName Parameter, UTexture* Value)
	{
		if (Value != nullptr)
		{
			Textures[Parameter] = Value;
		}
	}

	UTexture* K2_GetTextureParameterValue(FName Parameter)
	{
		const auto Found = Textures.find(Parameter);
		return Found != Textures.end() ? Found->second : nullptr;
	}

	/** Shim only. */
	std::map<FName, UTexture*> Textures;
};
