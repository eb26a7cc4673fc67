/* SPDX-License-Identifier: PostgreSQL
 *
 * Names of places: the built-in tables of cloud regions (generated from routing/regions.csv), of
 * countries (routing/countries.csv) and of states (routing/divisions.csv), and the folding of
 * names. Cities: routing/gazetteer.h.
 */
#ifndef ROUTING_PLACES_H
#define ROUTING_PLACES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

#define PLACE_NAME_MAX 128

/* Fold a name so that spellings meet: marks stripped, lower case, ß→ss ø→o …, . ' ’ deleted, any
 * other run of what is not a letter or digit becomes one space, trimmed ("Washington, D.C." →
 * "washington dc", "São Paulo" → "sao paulo"). Input is UTF-8, read as Latin-1 where it is not.
 * Writes at most PLACE_NAME_MAX - 1 bytes and a NUL; returns the length. */
size_t places_fold(struct slice name, char to[PLACE_NAME_MAX]);

/* Drop a provider prefix: gcp-, aws-, azure-, az-, fly-, scalingo-. */
struct slice places_strip_provider(struct slice region);

/* Coordinates of a cloud region ("us-east1", "gcp-us-east1", "eu-west-3", "cdg"). A provider prefix
 * narrows the search to that provider. Where several providers use the name, gcp, aws, azure, fly,
 * scalingo is the order. */
bool places_region(struct slice region, double *lat, double *lon);

/* A country by its alpha-2 code or its name ("FR", "fr", "France"): the code in capitals, or NULL
 * where there is no such country. */
const char *places_country(struct slice text);

/* A state or province by its name ("Texas", "Québec"): its ISO 3166-2 code without the country's,
 * and that in *country; NULL where there is none of that name. */
const char *places_division(struct slice text, const char **country);

#endif
