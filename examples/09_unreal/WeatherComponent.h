#pragma once

#include "CoreMinimal.h"
#include "Components/ActorComponent.h"
#include "MagiTypes.h"
#include "WeatherComponent.generated.h"

class UMagiStreamComponent;

/**
 * Changes the weather of a world every few seconds and says when each change is on the screen. Put it
 * on an actor that has a Magi Stream.
 */
UCLASS(meta = (BlueprintSpawnableComponent))
class UWeatherComponent : public UActorComponent
{
	GENERATED_BODY()

public:
	UWeatherComponent();

	UPROPERTY(EditAnywhere, Category = "Weather")
	TArray<FString> Prompts = {TEXT("it rains"), TEXT("the sky clears"), TEXT("night falls")};

	UPROPERTY(EditAnywhere, Category = "Weather", meta = (ClampMin = "1"))
	float Seconds = 10.0f;

	virtual void BeginPlay() override;
	virtual void TickComponent(float DeltaTime, ELevelTick TickType, FActorComponentTickFunction* ThisTickFunction) override;

private:
	UFUNCTION()
	void Told(const FMagiReceipt& Receipt);

	UPROPERTY(Transient)
	TObjectPtr<UMagiStreamComponent> Screen;

	float Waited = 0.0f;
	int32 Count = 0;
	int64 Asked = 0;
};
