#pragma once

#include "UObjectShim.h"

class FTextureResource;
struct FUpdateTextureRegion2D;

enum EPixelFormat
{
	PF_Unknown = 0,
	PF_B8G8R8A8 = 2
};

enum TextureFilter
{
	TF_Nearest,
	TF_Bilinear
};

enum TextureAddress
{
	TA_Wrap,
	TA_Clamp
};

class UTexture : public UObject
{
public:
	uint8 SRGB : 1;
	uint8 NeverStream : 1;
	TextureFilter Filter = TF_Nearest;
};

class UTexture2D : public UTexture
{
public:
	TextureAddress AddressX = TA_Wrap;
	TextureAddress AddressY = TA_Wrap;

	static UTexture2D* CreateTransient(int32 Width, int32 Height, EPixelFormat Format);
	void UpdateResource();
	FTextureResource* GetResource() const { return Resource.get(); }
	int32 GetSizeX() const { return SizeX; }
	int32 GetSizeY() const { return SizeY; }

	/** Without a resource nothing happens, and the cleanup is never called: as in the engine. */
	void UpdateTextureRegions(
		int32 MipIndex, uint32 NumRegions, const FUpdateTextureRegion2D* Regions, uint32 SrcPitch, uint32 SrcBpp,
		uint8* SrcData, TFunction<void(uint8* SrcData, const FUpdateTextureRegion2D* Regions)> DataCleanupFunc);

	/** Shim only. */
	static bool bMakeResources;

private:
	int32 SizeX = 0;
	int32 SizeY = 0;
	std::shared_ptr<FTextureResource> Resource;
};
