/* SPDX-License-Identifier: MIT */
/*
 * Short words that are rare in captions and still mean something strong: as an
 * identifier they would pull their meaning into every picture. The best known
 * is "sks", which much DreamBooth code uses and which is a rifle.
 */
#include <string.h>

#include "text/identifier.h"

static const struct {
    const char *word;
    const char *reason;
} blocked[] = {
    /* Weapons, armies, war. */
    {"ak", "a rifle"},
    {"awp", "a sniper rifle"},
    {"emp", "an electromagnetic pulse"},
    {"fal", "a rifle"},
    {"gun", "a weapon"},
    {"iaf", "an air force"},
    {"iwm", "a war museum"},
    {"pz", "a tank"},
    {"rpg", "a rocket launcher, or a kind of game"},
    {"sks", "a rifle"},
    {"smg", "a submachine gun"},
    {"ss", "the Nazi guard"},
    {"stg", "an assault rifle"},
    {"svt", "a rifle, and a band"},
    {"tnt", "an explosive"},
    {"usn", "the United States navy"},
    {"uzi", "a submachine gun"},
    {"vx", "a nerve agent"},
    /* Insults, sex, hate. */
    {"ass", "a swear word"},
    {"cum", "a sexual word"},
    {"fag", "an insult"},
    {"fck", "a swear word, and a football club"},
    {"fuk", "a swear word"},
    {"hag", "an insult"},
    {"jap", "an insult"},
    {"kkk", "the Ku Klux Klan"},
    {"nwo", "a conspiracy, and a wrestling team"},
    {"pis", "close to a swear word"},
    {"sex", "a sexual word"},
    {"tit", "a sexual word, and a bird"},
    {"wtf", "a swear word"},
    {"xxx", "a mark of pornography"},
    /* People and characters. */
    {"dmx", "a rapper"},
    {"fdr", "a president of the United States"},
    {"hov", "a rapper"},
    {"lbj", "a president, and a basketball player"},
    {"mew", "a Pokemon"},
    {"orc", "a creature of fantasy"},
    {"tux", "a penguin, and a dinner jacket"},
    {"uwe", "a first name"},
    {"ulf", "a first name"},
    {"yao", "a basketball player"},
    {"yui", "a character of many animations"},
    {"zeb", "a first name"},
    /* Brands and companies. */
    {"aig", "an insurance company"},
    {"aol", "a company"},
    {"bmw", "a maker of cars"},
    {"ibm", "a company"},
    {"kfc", "a restaurant chain"},
    {"msi", "a maker of computers"},
    {"msn", "a web portal"},
    {"opi", "a brand of nail polish"},
    {"tdi", "a kind of car"},
    {"ubs", "a bank"},
    {"xpo", "a company"},
    {"ysl", "a fashion house"},
    /* Sports. */
    {"nba", "basketball"},
    {"nfl", "American football"},
    {"nhl", "ice hockey"},
    {"nyk", "a basketball team"},
    {"ohl", "an ice hockey league"},
    {"okc", "a basketball team"},
    {"psv", "a football club"},
    {"rcb", "a cricket team"},
    {"rsl", "a football club"},
    {"ucd", "a university"},
    {"ufc", "martial arts"},
    {"unl", "a university"},
    {"wbo", "boxing"},
    {"wku", "a university"},
    {"wwe", "wrestling"},
    /* Games, music, film, television. */
    {"bgt", "a television show"},
    {"bts", "a band"},
    {"dbs", "an animation"},
    {"dbz", "an animation"},
    {"exo", "a band"},
    {"fgo", "a game"},
    {"mgs", "a game"},
    {"mha", "an animation"},
    {"mtv", "a music channel"},
    {"noh", "a theatre with masks"},
    {"onf", "a band"},
    {"owo", "a face made of letters"},
    {"pbb", "a television show"},
    {"pvp", "a kind of game"},
    {"scp", "a horror fiction"},
    {"tvn", "a television channel"},
    /* Medicine and drugs. */
    {"bmi", "a measure of body weight"},
    {"bpd", "an illness"},
    {"cov", "an illness"},
    {"ecg", "a picture of the heart's beat"},
    {"emt", "an ambulance crew"},
    {"hpv", "a virus"},
    {"hsv", "a virus"},
    {"ibs", "an illness"},
    {"lsd", "a drug"},
    {"mmj", "a drug"},
    {"pms", "a complaint"},
    {"tbi", "an injury of the brain"},
    {"tbr", "a pile of books"},
    /* Organisations and places. */
    {"asl", "a sign language"},
    {"bln", "a city"},
    {"bsa", "scouts, and a motorcycle"},
    {"cbp", "border police"},
    {"cia", "a secret service"},
    {"cmu", "a university"},
    {"fbi", "the police"},
    {"ioc", "the Olympic games"},
    {"lse", "a university"},
    {"mtr", "a railway"},
    {"nyc", "a city"},
    {"rms", "a ship"},
    {"usa", "a country"},
    /* Things, animals, food. */
    {"caw", "a crow's cry"},
    {"crt", "a screen"},
    {"ewe", "a sheep"},
    {"exe", "a file of a program"},
    {"fez", "a hat"},
    {"fpv", "a view from a drone"},
    {"haj", "a pilgrimage"},
    {"hdd", "a hard disk"},
    {"kea", "a parrot"},
    {"lox", "salmon"},
    {"lpg", "a fuel gas"},
    {"lug", "a nut or handle"},
    {"maw", "a mouth"},
    {"rmb", "a currency"},
    {"sdk", "a software kit"},
    {"tog", "a garment"},
};

const char *db_identifier_blocked(const char *word)
{
    size_t i;

    for (i = 0; i < DB_COUNT(blocked); i++)
        if (strcmp(blocked[i].word, word) == 0)
            return blocked[i].reason;
    return NULL;
}
