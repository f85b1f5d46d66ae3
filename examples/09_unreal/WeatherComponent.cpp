#include "WeatherComponent.h"

#include "GameFramework/Actor.h"
#include "MagiStreamComponent.h"

DEFINE_LOG_CATEGORY_STATIC(LogWeather, Log, All);

UWeatherComponent::UWeatherComponent()
{
	PrimaryComponentTick.bCanEverTick = true;
}

void UWeatherComponent::BeginPlay()
{
	Super::BeginPlay();
	Screen = GetOwner()->FindComponentByClass<UMagiStreamComponent>();
	if (Screen == nullptr)
	{
		UE_LOG(LogWeather, Error, TEXT("the actor has no Magi Stream"));
		return;
	}
	Screen->OnReceipt.AddDynamic(this, &UWeatherComponent::Told);
}

void UWeatherComponent::TickComponent(float DeltaTime, ELevelTick TickType, FActorComponentTickFunction* ThisTickFunction)
{
	Super::TickComponent(DeltaTime, TickType, ThisTickFunction);
	if (Screen == nullptr || !Screen->bConnected || Prompts.Num() == 0)
	{
		return;
	}
	Waited += DeltaTime;
	if (Waited < Seconds)
	{
		return;
	}
	Waited = 0.0f;
	Asked = Screen->SendPrompt(Prompts[Count++ % Prompts.Num()], EMagiAt::Now, true);
}

void UWeatherComponent::Told(const FMagiReceipt& Receipt)
{
	if (Receipt.Request != Asked)
	{
		return;
	}
	if (Receipt.Kind == EMagiReceiptKind::Applied)
	{
		UE_LOG(LogWeather, Log, TEXT("prompt %lld is on the screen from frame %lld on"), Receipt.Prompt, Receipt.Seq);
	}
	else if (Receipt.Kind == EMagiReceiptKind::Error)
	{
		UE_LOG(LogWeather, Warning, TEXT("%s"), *Receipt.Message);
	}
}
