#pragma once

#include "UObjectShim.h"

class UMaterialInterface : public UObject
{
};
